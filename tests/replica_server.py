"""A local HTTP server of a corpus' replica. On request it drops connections, refuses, ignores ranges, sends errors."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest


@dataclass
class ReplicaServer:
    """The behaviour of the server, which tests may change while it runs, and the requests it got.

    Attributes:
        url: of its root, without a final slash.
        files: content by path, ``resources/12/dev-clean.tar.gz``; anything else is answered with 404.
        ranges: whether the Range header is heeded.
        statuses: for each coming request, instead of an answer; then answers.
        bytes_before_drop: for each coming request; then whole answers.
        seconds: that every answer takes.
        asked: the path and Range header of each request.
        close: goes away; from then on connections are refused.
    """

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    ranges: bool = True
    statuses: list[int] = field(default_factory=list)
    bytes_before_drop: list[int] = field(default_factory=list)
    seconds: float = 0.0
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    close: Callable[[], None] = lambda: None

    def add_directory(self, directory: Path, at: str = "") -> None:
        """Serve the files under ``directory``, their relative paths after ``at``."""
        for path in directory.rglob("*"):
            if path.is_file():
                self.files[f"{at}/{path.relative_to(directory).as_posix()}".lstrip("/")] = path.read_bytes()


def _handler(state: ReplicaServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path, wanted = unquote(urlsplit(self.path).path).lstrip("/"), self.headers.get("Range")
            state.asked.append((path, wanted))
            content = state.files.get(path)
            status = state.statuses.pop(0) if state.statuses else 200
            if content is None or status != 200:
                self.send_error(404 if content is None else status)
                return
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and state.ranges else 0
            if start >= len(content) > 0:
                self._head(416, 0, f"bytes */{len(content)}")
                return
            self._head(206 if start else 200, len(content) - start,
                       f"bytes {start}-{len(content) - 1}/{len(content)}" if start else None)
            limit = state.bytes_before_drop.pop(0) if state.bytes_before_drop else len(content)
            body = content[start:][:limit]
            self.wfile.write(body[:len(body) // 2])
            if state.seconds:
                time.sleep(state.seconds)
            self.wfile.write(body[len(body) // 2:])

        def _head(self, status: int, length: int, content_range: str | None) -> None:
            self.send_response(status)
            if content_range:
                self.send_header("Content-Range", content_range)
            self.send_header("Content-Length", str(length))
            self.end_headers()

        def log_message(self, *_args: object) -> None:
            pass

    return Handler


@contextmanager
def serve(files: dict[str, bytes] | None = None) -> Iterator[ReplicaServer]:
    """Run a server of ``files`` on a free port of this machine for the length of the block."""
    state = ReplicaServer(files=files or {})
    http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(state))
    thread = threading.Thread(target=http.serve_forever, args=(0.01,))
    thread.start()

    def close() -> None:
        http.shutdown()
        thread.join()
        http.server_close()

    state.url, state.close = f"http://127.0.0.1:{http.server_address[1]}", close
    try:
        yield state
    finally:
        close()


def forget_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let requests to this machine use no proxy, and remove the pauses between attempts."""
    from utils.download import fetch as download

    monkeypatch.setattr(download.time, "sleep", lambda _seconds: None)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
