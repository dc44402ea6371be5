"""The access control of the service: API key, size and time limits, and protection against other web pages."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import os
import socket
from collections.abc import Callable, Collection, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

from fastapi import HTTPException
from fastapi.responses import JSONResponse, Response
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from utils.errors import UserError
from utils.serve.work_queue import QueueFullError, WorkQueue

KEY_VARIABLE = "WHISPER_API_KEY"
_MIN_KEY_LENGTH = 16
_ERROR_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}
_OPEN_PATHS = ("/", "/health")  # need no key; the page has to load before users can enter theirs
_PAGE_HEADERS = {"x-content-type-options": "nosniff", "referrer-policy": "no-referrer", "x-frame-options": "DENY"}


@dataclass(frozen=True)
class Limits:
    """The limits for one request."""

    request_bytes: int = 25_000_000  # OpenAI's own
    audio_seconds: float = 900
    seconds: float = 120  # from the first byte of a request to its answer


def read_api_key(path: Path | None) -> str:
    """The key that clients must send, from a file or the environment; "" if there is none.

    Raises:
        UserError: the file cannot be read, or the key is too short or not ASCII.
    """
    try:
        key = path.read_text("utf-8").strip() if path else os.environ.get(KEY_VARIABLE, "").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: the API key cannot be read: {error}") from None
    if (key or path) and (len(key) < _MIN_KEY_LENGTH or not key.isascii()):
        raise UserError(f"{path or KEY_VARIABLE}: an API key has at least {_MIN_KEY_LENGTH} ASCII characters; make one "
                        "with: python3 -c 'import secrets; print(secrets.token_urlsafe())'")
    return key


def listen(host: str, port: int, api_key: str) -> socket.socket:
    """A socket that listens at an address.

    Raises:
        UserError: other machines could reach it and there is no key, or the address is taken or not this machine's.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        if not api_key and not ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback:
            raise UserError(f"--host {host}: other machines could reach it, so an API key is needed: set "
                            f"{KEY_VARIABLE} or give --api-key-file; or leave --host out, for this machine only")
        return socket.create_server(address[:2], family=family, backlog=512)
    except (OSError, OverflowError) as error:
        raise UserError(f"--host {host} --port {port}: cannot listen there: {error}. Name another --port") from None


class Guard:
    """An ASGI layer around the service that refuses requests with OpenAI's error object.

    Without an API key it accepts requests only from programs on this machine and from the service's own page. The Host
    header must name this machine: otherwise a web page could rebind its own name to 127.0.0.1. So must Origin, which
    browsers send with every harmful request of a page. With a key, other pages cannot do harm: they do not know it.

    Pages and apps of ``origins`` may use the service, too; their browsers ask first (preflight), which needs no key.
    ``answered`` is called with the status of every answer.

    A POST takes a place in the queue before its body is read, so that bodies cannot fill memory or disk.
    """

    def __init__(self, app: ASGIApp, queue: WorkQueue, limits: Limits, api_key: str,
                 origins: Collection[str] = (), answered: Callable[[int], None] = lambda status: None) -> None:
        self._app, self._queue, self._limits = app, queue, limits
        self._api_key = api_key.encode()
        self._origins, self._answered = {origin.lower() for origin in origins}, answered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                self._answered(message["status"])
                extra = [(name.encode(), value.encode())
                         for name, value in {**_PAGE_HEADERS, **self._cross_origin(scope)}.items()]
                message = {**message, "headers": [*message.get("headers", []), *extra]}
            await send(message)

        try:
            headers = Headers(scope=scope)
            if scope["method"] == "OPTIONS" and self._cross_origin(scope) and \
                    "access-control-request-method" in headers:
                self._check_host(headers)
                await Response(status_code=204)(scope, receive, send_with_headers)
                return
            self._check_caller(scope, headers)
            if scope["method"] == "POST":
                self._check_size(headers)
                with self._queue.place():
                    scope["deadline"] = monotonic() + self._limits.seconds
                    await self._app(scope, self._limited(receive, scope["deadline"]), send_with_headers)
            else:
                await self._app(scope, receive, send_with_headers)
        except QueueFullError as full:
            await refuse(429, f"The server is busy: {full}.", "server_busy", {"retry-after": str(full.retry_after)})(
                scope, receive, send_with_headers)
        except HTTPException as error:
            await refuse(error.status_code, error.detail, headers=error.headers)(scope, receive, send_with_headers)

    def _cross_origin(self, scope: Scope) -> dict[str, str]:
        """The headers that let a page of ``origins`` read the answer; empty for all others."""
        origin = Headers(scope=scope).get("origin", "")
        if origin.lower() not in self._origins:
            return {}
        return {"access-control-allow-origin": origin, "vary": "Origin", "access-control-max-age": "600",
                "access-control-allow-methods": "GET, POST",
                # By name: * would not cover Authorization.
                "access-control-allow-headers": "Authorization, Content-Type, OpenAI-Organization, OpenAI-Project, "
                                                "X-Stainless-Arch, X-Stainless-Lang, X-Stainless-OS, "
                                                "X-Stainless-Package-Version, X-Stainless-Retry-Count, "
                                                "X-Stainless-Runtime, X-Stainless-Runtime-Version, X-Stainless-Timeout"}

    def _check_host(self, headers: Headers) -> None:
        if not self._api_key and not _is_local(headers.get("host", "")):
            raise HTTPException(403, "This server answers to localhost only; the Host header names another machine.")

    def _check_caller(self, scope: Scope, headers: Headers) -> None:
        if self._api_key:
            scheme, _, given = headers.get("authorization", "").partition(" ")
            known = hmac.compare_digest(given.strip().encode(), self._api_key) and scheme.lower() == "bearer"
            if not known and scope["path"] not in _OPEN_PATHS:
                raise HTTPException(401, "This server needs an API key: send the header Authorization: Bearer KEY. "
                                    "None was sent, or another one.", {"www-authenticate": "Bearer"})
            return
        self._check_host(headers)
        origin = headers.get("origin")
        if origin is not None and origin.lower() not in {f"http://{headers.get('host', '').lower()}", *self._origins}:
            raise HTTPException(403, "This server does not answer to other web pages (Origin header); its owner can "
                                "allow one with --allow-origin.")

    def _check_size(self, headers: Headers) -> None:
        length = headers.get("content-length", "0")
        if length.isdigit() and int(length) > self._limits.request_bytes:
            raise self._too_large()

    def _too_large(self) -> HTTPException:
        return HTTPException(413, f"The request is larger than {self._limits.request_bytes / 1e6:g} MB. Send less "
                             "audio at once, or compress it (flac, mp3, opus).")

    def _limited(self, receive: Receive, deadline: float) -> Receive:
        """A ``receive`` that limits the size of the body, and the time until it is complete."""
        n_bytes, complete = 0, False

        async def limited() -> MutableMapping[str, Any]:
            nonlocal n_bytes, complete
            if complete:  # the only message after the body is that the client has gone
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), max(0.0, deadline - monotonic()))
            except asyncio.TimeoutError:
                raise HTTPException(408, f"The request did not arrive within {self._limits.seconds:g} s.") from None
            n_bytes += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if n_bytes > self._limits.request_bytes:
                raise self._too_large()
            return message

        return limited


def refuse(status: int, message: str, code: str | None = None, headers: Any = None,
           param: str | None = None) -> JSONResponse:
    """The answer to a refused request: OpenAI's error object, which OpenAI's clients turn into exceptions."""
    kind = _ERROR_TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    return JSONResponse({"error": {"message": message, "type": kind, "param": param, "code": code}}, status, headers)


def _is_local(host: str) -> bool:
    """Whether a Host header names this machine and no other: localhost or a loopback address."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
