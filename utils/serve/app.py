"""The web service: OpenAI's audio endpoints, an endpoint for both tasks at once, and a page that uses it."""

from __future__ import annotations

import base64
import hashlib
import io
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic
from typing import Annotated, Any

import numpy as np
import uvicorn
from fastapi import FastAPI, File, Form, HTTPException, Request, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.exceptions import HTTPException as StarletteHTTPException

from utils.audio.constants import SAMPLE_RATE
from utils.audio.media import read_media
from utils.cli import log
from utils.data.languages import all_codes, language_code, language_name
from utils.data.lists import TASKS
from utils.errors import UserError
from utils.serve.guard import Guard, Limits, refuse
from utils.serve.metrics import CONTENT_TYPE, Metrics
from utils.serve.openai_format import RESPONSE_FORMATS, format_recognition, stream_events
from utils.serve.served_model import ServedModel
from utils.serve.whisper_asr import add_whisper_asr
from utils.serve.work_queue import AbandonedError, LateError, Progress, WorkQueue
from utils.transcribe.recognizer import Recognition
from utils.transcribe.subtitles import make_cues, to_srt, to_vtt

TEMPLATES = Path(__file__).parent / "templates"
OPENAI_MODEL = "whisper-1"  # the default name of OpenAI's clients
_MAX_CONNECTIONS = 512
Recognize = Callable[..., Recognition]
Name = Annotated[str, Form(max_length=100)]  # bounded, because error messages repeat it
OptionalName = Annotated[str | None, Form(max_length=100)]  # FastAPI would take Name | None for a query parameter


@dataclass(frozen=True)
class Service:
    """The state that the endpoints share."""

    recognize: Recognize
    model: str
    queue: WorkQueue
    limits: Limits
    metrics: Metrics
    described: ServedModel
    any_model: bool = False

    async def run(self, request: Request, file: UploadFile, tasks: Sequence[str], language: str | None, *,
                  raw: bool = False, first: float | None = None, details: bool = False) -> Recognition:
        """Recognize an upload when the queue reaches it.

        Args:
            language: as people write it; None, "" and ``auto``: it is detected.
            raw: the upload is 16-bit little-endian PCM of 16 kHz, mono, without a header.
            first: seconds at the start that are recognized; None: all.
            details: with times of words and probabilities.

        Raises:
            HTTPException: the audio or the language cannot be used, or the time limit was exceeded.
            AbandonedError: the client closed the connection.
        """
        code = _checked_language(language)
        # g722 has no header, so it is recognized by the file name; nothing else of a client's file name is used.
        source = "the uploaded file" + (".g722" if (file.filename or "").lower().endswith(".g722") else "")
        began = monotonic()

        def work(check: Progress) -> Recognition:
            check(0.0)
            data = file.file.read()
            audio = _pcm(data, self.limits.audio_seconds) if raw else \
                read_media(io.BytesIO(data), source, max_seconds=self.limits.audio_seconds,
                           on_packet=lambda: check(0.0)).audio
            check(0.0)
            if first is not None:
                audio = audio[:round(first * SAMPLE_RATE)]
            return self.recognize(audio, tasks=tasks, language=code, on_progress=check, details=details)

        try:
            found = await self.queue.run(work, request.scope["deadline"] - began, _disconnected(request))
        except UserError as error:
            raise HTTPException(400, str(error)) from None
        except LateError:
            raise HTTPException(504, f"It took longer than {self.limits.seconds:g} s. Send less audio at once, or try "
                                "again when the server is less busy.") from None
        self.metrics.recognized(found.duration, monotonic() - began)
        log(f"{request.url.path}: {found.duration:.1f} s of audio in {monotonic() - began:.1f} s, "
            f"{self.queue.taken - 1} others")
        return found


def make_app(recognize: Recognize, model: str | ServedModel, *, workers: int, waiting: int,
             limits: Limits | None = None, api_key: str = "", any_model: bool = False,
             origins: Collection[str] = ()) -> Guard:
    """The service as an ASGI application.

    Args:
        recognize: a Recognizer, or a function with its signature; is called from several threads.
        model: the name that clients see, or a description of the model, for the page, too.
        workers: recordings that are recognized at once.
        waiting: further requests that may wait; beyond these, requests are answered with status 429.
        api_key: the key that clients must send; "": none, and only programs on this machine are served.
        any_model: requests may name any model; the served one answers.
        origins: other pages and apps that may use the service, as browsers write them: ``app://obsidian.md``.
    """
    limits = limits or Limits()
    queue = WorkQueue(workers, waiting)
    app = FastAPI(title="Whisper multitask", openapi_url=None)  # its documentation pages would load remote scripts
    _add_error_handlers(app)
    metrics = Metrics(lambda: queue.taken)
    described = ServedModel(model) if isinstance(model, str) else model
    service = Service(recognize, described.name, queue, limits, metrics, described, any_model)
    _add_page(app, service, bool(api_key))
    _add_models(app, service)
    _add_recognition(app, service)
    add_whisper_asr(app, service.run)
    return Guard(app, queue, limits, api_key, origins, metrics.answered)


def make_server(app: Guard, seconds: float) -> uvicorn.Server:
    """The server, which runs until SIGTERM or Ctrl-C and then still answers the requests in progress.

    Args:
        seconds: the longest time that a request may take.
    """
    # h11 reads on while a refused client still sends, so that the client gets the answer and no broken connection.
    return uvicorn.Server(uvicorn.Config(
        app, http="h11", ws="none", lifespan="off", log_level="warning", access_log=False, server_header=False,
        proxy_headers=False, limit_concurrency=_MAX_CONNECTIONS, timeout_graceful_shutdown=math.ceil(seconds) + 5))


def _add_error_handlers(app: FastAPI) -> None:
    @app.exception_handler(StarletteHTTPException)
    async def refused(request: Request, error: StarletteHTTPException) -> JSONResponse:
        code = {404: "model_not_found" if "model" in error.detail else "not_found"}.get(error.status_code)
        return refuse(error.status_code, error.detail, code, error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        name = str(first["loc"][-1])
        return refuse(400, f"{name}: {first['msg']}.", "invalid_value", param=name)

    @app.exception_handler(AbandonedError)
    async def gone(request: Request, error: AbandonedError) -> Response:
        return Response(status_code=499)  # never sent: the client has gone

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> JSONResponse:
        return refuse(500, "The server failed; its log says why.", "internal_error")


def _add_page(app: FastAPI, service: Service, needs_key: bool) -> None:
    html, headers = _page(service, needs_key)

    @app.api_route("/", methods=["GET", "HEAD"])
    async def page() -> HTMLResponse:
        return HTMLResponse(html, headers=headers)

    @app.api_route("/health", methods=["GET", "HEAD"])
    async def health() -> dict[str, Any]:
        return {"status": "ok", "requests": service.queue.taken}

    @app.get("/metrics")
    async def figures() -> Response:
        return Response(service.metrics.text(), media_type=CONTENT_TYPE)


def _add_models(app: FastAPI, service: Service) -> None:
    models = {name: {"id": name, "object": "model", "created": 0, "owned_by": "local"}
              for name in (service.model, OPENAI_MODEL)}

    @app.get("/v1/models")
    async def list_models() -> dict[str, Any]:
        return {"object": "list", "data": [*models.values()]}

    @app.get("/v1/models/{name:path}")
    async def one_model(name: str) -> dict[str, Any]:
        _check_model(service, name)
        return {**models[service.model], "id": name}


def _add_recognition(app: FastAPI, service: Service) -> None:
    @app.post("/v1/audio/transcriptions")
    async def transcriptions(
            request: Request, file: Annotated[UploadFile, File()], model: Name, language: OptionalName = None,
            response_format: Name = "json",
            stream: Annotated[bool, Form()] = False,
            granularities: Annotated[list[str] | None, Form(alias="timestamp_granularities[]")] = None,
            plain_granularities: Annotated[list[str] | None, Form(alias="timestamp_granularities")] = None) -> Response:
        asked = {*(granularities or []), *(plain_granularities or [])}
        if response_format == "verbose_json" and (unknown := sorted(asked - {"segment", "word"})):
            raise HTTPException(400, f"timestamp_granularities: {unknown[0]!r} is neither segment nor word.")
        return await answer(request, file, model, "transcribe", language, response_format, stream, "word" in asked)

    @app.post("/v1/audio/translations")
    async def translations(
            request: Request, file: Annotated[UploadFile, File()], model: Name,
            response_format: Name = "json") -> Response:
        return await answer(request, file, model, "translate", None, response_format)

    async def answer(request: Request, file: UploadFile, model: str, task: str, language: str | None,
                     response_format: str, stream: bool = False, words: bool = False) -> Response:
        _check_model(service, model)
        if response_format not in RESPONSE_FORMATS:
            raise HTTPException(400, f"response_format: {response_format!r} is none of {', '.join(RESPONSE_FORMATS)}.")
        found = await service.run(request, file, [task], language, details=response_format == "verbose_json")
        if stream and response_format in ("json", "text"):  # ignored for the others, as OpenAI does
            return StreamingResponse(stream_events(found, task), media_type="text/event-stream")
        content = format_recognition(found, task, response_format, words)
        return PlainTextResponse(content) if isinstance(content, str) else JSONResponse(content)

    @app.post("/recognize")
    async def recognize(request: Request, file: Annotated[UploadFile, File()],
                        language: OptionalName = None) -> dict[str, Any]:
        """Both tasks from one encoder pass."""
        found = await service.run(request, file, TASKS, language)
        segments = [{"start": segment.start, "end": segment.end, "texts": segment.texts} for segment in found.segments]
        subtitles = {task: {"srt": to_srt(cues), "vtt": to_vtt(cues)} for task in TASKS
                     for cues in [make_cues(found.segments, task)]}
        return {**asdict(found), "segments": segments, **{task: found.text(task) for task in TASKS},
                "subtitles": subtitles}


def _checked_language(language: str | None) -> str | None:
    try:
        return language_code(language) if language and language.lower() != "auto" else None
    except ValueError as error:
        raise HTTPException(400, f"language: {error}.") from None


def _check_model(service: Service, name: str) -> None:
    if not service.any_model and name not in (service.model, OPENAI_MODEL):
        raise HTTPException(404, f"There is no model {name!r} here; ask for {service.model!r} or {OPENAI_MODEL!r}.")


def _pcm(data: bytes, max_seconds: float) -> np.ndarray:
    """Samples of 16-bit little-endian PCM of 16 kHz, mono, as float32 in [-1, 1).

    Raises:
        UserError: half a sample at the end, or longer than ``max_seconds``.
    """
    if len(data) % 2:
        raise UserError(f"the uploaded file: {len(data)} bytes are no 16-bit PCM; leave encode=false out")
    if len(data) > 2 * SAMPLE_RATE * max_seconds:
        raise UserError(f"the uploaded file: longer than {max_seconds:g} s")
    return np.frombuffer(data, "<i2").astype(np.float32) / 32768


async def _disconnected(request: Request) -> None:
    """Return when the client has closed the connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _page(service: Service, needs_key: bool) -> tuple[str, Mapping[str, str]]:
    """The HTML of the page, which loads nothing, and headers that forbid it to."""
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined,
                              trim_blocks=True, lstrip_blocks=True)
    style, script = ((TEMPLATES / name).read_text("utf-8") for name in ("service.css", "service.js"))
    tuned = sorted((language_name(code).title(), code) for code in service.described.languages)
    others = sorted((language_name(code).title(), code) for code in all_codes() - set(service.described.languages))
    html = environment.get_template("service.html.j2").render(
        model=service.described.title or service.model, needs_key=needs_key, tuned=tuned, others=others,
        limits=service.limits, style=Markup(style), script=Markup(script))
    hashes = {kind: base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
              for kind, text in (("style", style), ("script", script))}
    policy = (f"default-src 'none'; style-src 'sha256-{hashes['style']}'; script-src 'sha256-{hashes['script']}'; "
              "connect-src 'self'; media-src blob:; img-src data:; base-uri 'none'; form-action 'none'; "
              "frame-ancestors 'none'")
    return html, {"content-security-policy": policy, "cache-control": "no-store"}
