"""Logs of jobs: header and footer as in Kaldi, failure reports, and a progress line on the terminal."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from utils.jobs.job_request import Request
from utils.masking import mask_secrets


class ProgressLine:
    """A line that counts jobs done and running; for a single job the last line of its log, such as a progress bar."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._began = time.monotonic()
        self._shown = ""

    def show(self, done: int, running: int, end: str = "") -> None:
        """Rewrite the line if stderr is a terminal; ``end`` is printed after it."""
        if not sys.stderr.isatty():
            return
        total = len(self._request.jobs)
        minutes, seconds = divmod(int(time.monotonic() - self._began), 60)
        if total == 1:
            line = f"{minutes}:{seconds:02d} {last_line(self._request.log_path(self._request.jobs[0]))}"
        else:
            line = f"{done} of {total} jobs done, {running} running, {minutes}:{seconds:02d}"
        line = line[: shutil.get_terminal_size().columns - 1]
        if end or line != self._shown:
            print(f"\r\x1b[K{line}", end=end, file=sys.stderr, flush=True)
            self._shown = line


def last_line(log: Path) -> str:
    """Return the last line of a log without control characters; empty if the log cannot be read."""
    try:
        with log.open("rb") as stream:
            stream.seek(max(0, log.stat().st_size - 4096))
            pieces = re.split(r"[\r\n]+", stream.read().decode("utf-8", errors="replace"))
    except OSError:
        return ""
    words = next((piece for piece in reversed(pieces) if piece.strip() and not piece.startswith("#")), "")
    return "".join(character for character in words if character.isprintable()).strip()


def start_failure(log: IO[bytes], arguments: Sequence[str], error: OSError) -> int:
    """Write to the log that a command cannot be run; return the exit code that a shell has for this: 126 or 127."""
    log.write(os.fsencode(f"{arguments[0]}: cannot be run: {error.strerror}\n"))
    return 127 if isinstance(error, FileNotFoundError) else 126


def write_header(log: IO[bytes], arguments: Sequence[str]) -> None:
    """Write the head of a job's log as Kaldi does: the command, with secrets masked, the host, the time."""
    command = mask_secrets(shlex.join(arguments)).replace("\n", "\n# ")
    host = socket.gethostname()
    log.write(os.fsencode(f"# {command}\n# Running on host {host}\n# Started at {time.ctime()}\n#\n"))
    log.flush()


def write_footer(log: IO[bytes], code: int, seconds: float, threads: int = 1) -> None:
    """Write the end of a job's log as Kaldi does: seconds and threads used, exit code, time."""
    log.write(f"# Accounting: time={seconds:.0f} threads={threads}\n"
              f"# Ended (code {code}) at {time.ctime()}, elapsed time {seconds:.0f} seconds\n".encode())


def failure_report(request: Request, codes: dict[int, int], lines: int = 20) -> str:
    """Return a report: how many jobs failed, the end of the first failed job's log, and the log's path.

    Args:
        request: the request that was run.
        codes: exit code by job id; a job failed if its code is missing or not 0.
        lines: how many lines of the log are shown.
    """
    failed = [job for job in request.jobs if codes.get(job) != 0]
    log = request.log_path(failed[0])
    named = ", ".join(str(job) for job in failed[:10]) + (", ..." if len(failed) > 10 else "")
    which = f" ({request.variable}={named})" if request.variable else ""
    hint = ["(No shell read its arguments. If a shell must interpret |, && and >, as in Kaldi's recipes, "
            "put --shell true beside this driver's name in cmd.sh.)"] if request.lacks_shell else []
    return "\n".join([f"{len(failed)} of {len(request.jobs)} jobs failed{which}; the first one's log ends:",
                      *(f"  {line}" for line in _last_lines(log, lines)), *hint, f"The whole log: {log}"])


def _last_lines(path: Path, number: int) -> list[str]:
    try:
        with path.open("rb") as stream:
            stream.seek(max(0, path.stat().st_size - 100_000))
            text = stream.read().decode("utf-8", "replace").removesuffix("\n")
    except OSError as error:
        return [f"({path}: {error.strerror})"]
    # A progress bar rewrites its line: only its last state is kept.
    return [line.rpartition("\r")[2] for line in text.replace("\r\n", "\n").split("\n")[-number:]]
