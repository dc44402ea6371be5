"""The line that a job driver shows on a terminal while its jobs run."""

from __future__ import annotations

import re
import shutil
import sys
import time
from pathlib import Path

from utils.jobs.job_request import Request


class ProgressLine:
    """Jobs done and running; of a single job what its log said last, which may be a progress bar."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._began = time.monotonic()
        self._shown = ""

    def show(self, done: int, running: int, end: str = "") -> None:
        """Rewrite the line, if there is a terminal to show it on."""
        if not sys.stderr.isatty():
            return
        total = len(self._request.jobs)
        minutes, seconds = divmod(int(time.monotonic() - self._began), 60)
        if total == 1:
            line = f"{minutes}:{seconds:02d} {last_words(self._request.log_path(self._request.jobs[0]))}"
        else:
            line = f"{done} of {total} jobs done, {running} running, {minutes}:{seconds:02d}"
        line = line[: shutil.get_terminal_size().columns - 1]
        if end or line != self._shown:
            print(f"\r\x1b[K{line}", end=end, file=sys.stderr, flush=True)
            self._shown = line


def last_words(log: Path) -> str:
    """The last thing that a log says, control characters left out; nothing if it cannot be read."""
    try:
        with log.open("rb") as stream:
            stream.seek(max(0, log.stat().st_size - 4096))
            pieces = re.split(r"[\r\n]+", stream.read().decode("utf-8", errors="replace"))
    except OSError:
        return ""
    words = next((piece for piece in reversed(pieces) if piece.strip() and not piece.startswith("#")), "")
    return "".join(character for character in words if character.isprintable()).strip()
