#!/usr/bin/env python3
"""Run a command, or an array of jobs, on this machine: Kaldi's run.pl.

    cmd_local.py [options] [JOB=first:last] dir/log/name.JOB.log command argument ...

JOB (any name before the "=") is replaced by the job id in the log's name and in every argument. Arguments
are passed to the command exactly as given, without a shell; only a command given as one argument with spaces
in it ("a | b") is run by bash. Every job's output goes to its log. The exit code is 0 if all jobs ended with
0, else 1; then the end of the first failed log is printed.

    utils/jobs/cmd_local.py JOB=1:8 exp/log/dump.JOB.log \\
      pyscripts/dump_feats.py --job JOB --num-jobs 8 data/train dump/train

Options (others, such as --mem, --time and -q, are for clusters and are ignored here):
    --max-jobs-run N   run at most N jobs at once (default: CPU cores / num-threads)
    --num-threads N    threads of one job, as OMP_NUM_THREADS (default: 1 for an array, else unchanged)
    --gpu N            GPUs of one job, as CUDA_VISIBLE_DEVICES (default: unchanged); a job waits until N
                       GPUs are free. On a machine without a GPU, jobs run without one.
    --shell true       a shell interprets the arguments (| && > $x), as in Kaldi's recipes, except those
                       with white space in them
    --dry-run          print the commands of the jobs instead of running them
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from utils.errors import UserError
from utils.jobs.job_log import ProgressLine, failure_report, start_failure, write_footer, write_header
from utils.jobs.job_request import Request, SignalNote, parse_request, shell_code

_GRACE_SECONDS = 5.0  # between SIGTERM and SIGKILL


@dataclass
class _Running:
    process: subprocess.Popen[bytes]
    log: IO[bytes]
    started: float
    gpus: list[str]


@dataclass
class _Machine:
    """Resources of this machine for jobs that run at the same time."""

    slots: int  # jobs at once
    threads: int | None  # OMP_NUM_THREADS of a job; None: unchanged
    gpus_per_job: int = 0
    free_gpus: list[str] = field(default_factory=list)

    @classmethod
    def serving(cls, request: Request) -> _Machine:
        """Return the resources for a request. Raises UserError if a job needs more GPUs than there are."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        threads = request.threads or (1 if len(request.jobs) > 1 else None)
        slots = request.count("max-jobs-run", max(1, cores // (threads or 1)), minimum=1)
        wanted = request.count("gpu", 0)
        gpus = visible_gpus() if wanted else []
        if gpus and wanted > len(gpus):
            raise UserError(f"--gpu {wanted}: this machine offers {len(gpus)} ({', '.join(gpus)})")
        return cls(slots, threads, wanted if gpus else 0, gpus)

    def has_room(self, running: int) -> bool:
        return running < self.slots and len(self.free_gpus) >= self.gpus_per_job


def visible_gpus() -> list[str]:
    """Return the GPUs that jobs may use, as CUDA_VISIBLE_DEVICES names them; empty on a machine without a GPU."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [device for device in visible.replace(" ", "").split(",") if device not in ("", "-1")]
    try:
        listing = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    gpus = [line for line in listing.stdout.splitlines() if line.startswith("GPU ")]
    return [str(index) for index in range(len(gpus))]


def _killed_with(driver: int) -> Callable[[], None] | None:
    """Return a job's ``preexec_fn``: it has the kernel kill the job when process ``driver`` ends (Linux only).

    A job that outlives its driver would write the same files as the job that the same command starts again.
    """
    if sys.platform != "linux":
        return None
    set_death_signal = ctypes.CDLL(None).prctl

    def before_start() -> None:
        set_death_signal(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        if os.getppid() != driver:  # the driver ended before the call above
            os._exit(137)

    return before_start


class LocalRunner:
    """Runs the jobs of one request, as many at once as the machine allows."""

    def __init__(self, request: Request, stop: SignalNote) -> None:
        self.request = request
        self.stop = stop
        self.machine = _Machine.serving(request)
        self.running: dict[int, _Running] = {}
        self.codes: dict[int, int] = {}
        self._progress = ProgressLine(request)

    def run(self) -> dict[int, int]:
        """Run all jobs and return their exit codes by job id; a signal or an exception stops all jobs."""
        waiting = list(self.request.jobs)
        try:
            while (waiting or self.running) and not self.stop.received:
                while waiting and self.machine.has_room(len(self.running)):
                    self._start(waiting.pop(0))
                self._collect()
                self._progress.show(len(self.codes), len(self.running))
                time.sleep(0.05)
        finally:
            self._stop()
            self._progress.show(len(self.codes), len(self.running), end="\n")
        return self.codes

    def _start(self, job: int) -> None:
        arguments = self.request.arguments(job)
        path = self.request.log_path(job)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            log = path.open("wb")
            write_header(log, arguments)
        except OSError as error:
            raise UserError(f"{path}: cannot write this log: {error.strerror}") from None
        gpus = [self.machine.free_gpus.pop(0) for _ in range(self.machine.gpus_per_job)]
        environment = dict(os.environ)
        if self.machine.threads:
            environment["OMP_NUM_THREADS"] = str(self.machine.threads)
        if gpus:
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
        try:
            # A session of its own, so that the job can be stopped with all the processes it started.
            process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                                       env=environment, start_new_session=True, preexec_fn=_killed_with(os.getpid()))
        except OSError as error:
            self._end(job, log, start_failure(log, arguments, error), 0.0, gpus)
            return
        self.running[job] = _Running(process, log, time.monotonic(), gpus)

    def _end(self, job: int, log: IO[bytes], code: int, seconds: float, gpus: list[str]) -> None:
        try:
            log.seek(0, os.SEEK_END)
            with log:
                write_footer(log, code, seconds, self.machine.threads or 1)
        except OSError as error:  # the disk is full: the job's output may be incomplete
            print(f"cmd_local.py: error: {self.request.log_path(job)}: cannot write this log: {error.strerror}",
                  file=sys.stderr)
            code = code or 1
        self.machine.free_gpus.extend(gpus)
        self.codes[job] = code

    def _collect(self) -> None:
        for job, running in list(self.running.items()):
            code = running.process.poll()
            if code is not None:
                del self.running[job]
                self._end(job, running.log, shell_code(code), time.monotonic() - running.started, running.gpus)

    def _stop(self) -> None:
        """Stop the running jobs and all the processes they started: first with SIGTERM, then with SIGKILL."""
        groups = [running.process.pid for running in self.running.values()]
        for number in (signal.SIGTERM, signal.SIGKILL):
            for group in groups:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(group, number)
            deadline = time.monotonic() + _GRACE_SECONDS
            while self.running and time.monotonic() < deadline:
                self._collect()
                time.sleep(0.02)


def main(arguments: list[str]) -> int:
    """Run the request in ``arguments`` (without the program's name) and return the exit code."""
    if arguments[:1] in (["--help"], ["-h"]):
        print(__doc__)
        return 0

    try:
        request = parse_request(arguments)
        if request.dry_run:
            for job in request.jobs:
                print(f"{shlex.join(request.arguments(job))} >{shlex.quote(str(request.log_path(job)))} 2>&1")
            return 0
        stop = SignalNote(signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        codes = LocalRunner(request, stop).run()
    except UserError as error:
        print(f"cmd_local.py: error: {error}", file=sys.stderr)
        return 1
    if stop.received:
        print(f"cmd_local.py: stopped by {stop.received.name}", file=sys.stderr)
        return 128 + stop.received
    if any(codes.values()):
        print(f"cmd_local.py: {failure_report(request, codes)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
