"""Code that the cluster drivers (cmd_slurm.py, cmd_sge.py) share: submit a request, wait for its jobs, cancel them.

A job reports its exit code in a file (see run_job.py). The driver regularly asks the scheduler which jobs are still
unfinished. A job that the scheduler does not list and that has not reported within a grace period is lost, and counts
as failed. Standard library only.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from utils.errors import UserError
from utils.jobs.job_log import ProgressLine, failure_report
from utils.jobs.job_request import Request, SignalNote, parse_request
from utils.jobs.scheduler import JobState, Scheduler, SchedulerUnavailableError, ask
from utils.jobs.scheduler_conf import find_conf, read_conf

# Seconds that a report may take from a node to this machine, because NFS shows new files late.
_GRACE = float(os.environ.get("CMD_GRACE_SECONDS", "30"))
_MAX_SILENCE = 1800.0  # seconds without an answer of the scheduler after which the driver gives up
_END_SECONDS = 120.0  # within which cancelled jobs must end
_EXPLAIN_SECONDS = 60.0  # after these, the driver prints why its jobs wait
# Variables of path.sh, Kaldi's included. A job script sets them itself, whatever the scheduler passes on.
_ENVIRONMENT = ("PATH", "PYTHONPATH", "PYTHONUNBUFFERED", "PYTHONUTF8", "LC_ALL", "LD_LIBRARY_PATH", "KALDI_ROOT")


class ClusterRunner:
    """Runs one request on a cluster. Job scripts are written to q/ beside the logs and stay there."""

    def __init__(self, scheduler: Scheduler, request: Request, arguments: Sequence[str]) -> None:
        self.scheduler = scheduler
        self.request = request
        self.arguments = list(arguments)
        base = Path(request.log.replace(request.variable, "") if request.variable else request.log)
        self.name = re.sub(r"\.+", ".", base.name).removesuffix(".log").strip(".") or "job"
        self.queue_dir = base.parent / "q"
        self.script = (self.queue_dir / f"{self.name}.sh").absolute()
        self.queue_log = (self.queue_dir / f"{self.name}.log").absolute()
        self.id_file = self.queue_dir / f"{self.name}.id"  # the id of the submitted, unfinished job
        self.cluster_id = ""
        self.codes: dict[int, int] = {}
        self._explained = False
        self._missed: dict[int, float] = {}
        self._known: dict[int, JobState] = {}

    def submit_command(self) -> list[str]:
        """Return the scheduler's command line for this request. Raises UserError for an option that its conf lacks."""
        request = self.request
        conf = read_conf(find_conf(self.scheduler.conf_name, request.options.get("config")))
        ours = {"config", "dry-run", "shell"}
        limit = None
        if not conf.knows("max-jobs-run") or not request.variable:
            ours.add("max-jobs-run")
            if "max-jobs-run" in request.options:
                limit = request.count("max-jobs-run", 1, minimum=1)
        words = conf.submit_words({name: value for name, value in request.options.items() if name not in ours})
        words += [*request.native, *self.scheduler.job_flags(self.name, self.queue_log)]
        if request.variable:
            words += self.scheduler.array_flags(request.jobs, limit)
        return [*words, str(self.script)]

    def job_script(self, reports: str) -> str:
        """Return the script that the cluster runs for each job; it can be run by hand, too."""
        variable = self.scheduler.task_variable
        job = f'"${{{variable}:-{self.request.jobs[0]}}}"' if self.request.variable else "1"
        submitted = shlex.join(self.submit_command()).replace("\n", "\n#   ")
        runner = [sys.executable, str(Path(__file__).with_name("run_job.py"))]
        lines = ["#!/usr/bin/env bash", f"# Written by {self.scheduler.driver} and submitted with:", f"#   {submitted}"]
        lines += [f"export {name}={shlex.quote(os.environ[name])}" for name in _ENVIRONMENT if name in os.environ]
        lines += [f"cd -- {shlex.quote(str(Path.cwd()))} || exit 1",
                  f"exec {shlex.join(runner)} {job} {shlex.quote(reports)} {shlex.join(self.arguments)}"]
        return "\n".join(lines) + "\n"

    def run(self, stop: SignalNote) -> dict[int, int]:
        """Submit the jobs, wait for all of them, and return exit codes by job id; a signal cancels all jobs."""
        command = self.submit_command()
        self._cancel_earlier_job()
        self._prepare_files()
        reports = Path(tempfile.mkdtemp(prefix=f"{self.name}.", dir=self.queue_dir)).absolute()
        self.script.write_bytes(os.fsencode(self.job_script(str(reports))))
        try:
            self.cluster_id = self._submit(command)
            self.id_file.write_text(self.cluster_id, encoding="utf-8")
            self._wait(reports, stop)
        finally:
            if self.cluster_id and (len(self.codes) < len(self.request.jobs) or self._any_cannot_finish()):
                self._cancel(self.cluster_id)
            self.id_file.unlink(missing_ok=True)
            shutil.rmtree(reports, ignore_errors=True)
        return self.codes

    def _cancel_earlier_job(self) -> None:
        """Cancel the jobs of a killed driver under this name: they write the same files as the new ones."""
        try:
            earlier = self.id_file.read_text(encoding="utf-8").strip()
            if not self.scheduler.unfinished(earlier, self.request.jobs):
                return
            print(f"{self.scheduler.driver}: cancelling job {earlier}, which a killed run left", file=sys.stderr)
            self._cancel(earlier)
            deadline = time.monotonic() + _END_SECONDS
            while not all(job.cannot_finish for job in self.scheduler.unfinished(earlier, self.request.jobs).values()):
                if time.monotonic() > deadline:
                    raise UserError(f"job {earlier} of a killed run does not end. Cancel it, then try again")
                time.sleep(1)
        except FileNotFoundError:
            pass
        except SchedulerUnavailableError as error:
            raise UserError(f"cannot ask about the job of a killed run, {self.id_file}: {error}") from None

    def _prepare_files(self) -> None:
        """Create directories; remove the logs of an earlier run, so that they are not mistaken for this run's."""
        try:
            self.queue_dir.mkdir(parents=True, exist_ok=True)
            for path in (self.queue_log, *map(self.request.log_path, self.request.jobs)):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.unlink(missing_ok=True)
        except OSError as error:
            raise UserError(f"{error.filename}: cannot write there: {error.strerror}") from None

    def _submit(self, command: list[str]) -> str:
        try:
            done = ask(*command)
        except SchedulerUnavailableError as error:
            raise UserError(f"cannot submit: {error}") from None
        if done.returncode:
            said = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
            raise UserError(f"cannot submit: {said} (command: {shlex.join(command)})")
        return self.scheduler.read_id(done.stdout)

    def _wait(self, reports: Path, stop: SignalNote) -> None:
        line = ProgressLine(self.request)
        began = answered = time.monotonic()
        while not stop.received:
            self._collect(reports)
            if len(self.codes) == len(self.request.jobs):
                break
            try:
                self._known = self.scheduler.unfinished(self.cluster_id, self.request.jobs)
                answered = time.monotonic()
                self._note_lost(reports)
            except SchedulerUnavailableError as error:
                if time.monotonic() - answered > _MAX_SILENCE:
                    raise UserError(f"the scheduler has not answered for {_MAX_SILENCE / 60:.0f} minutes ({error}); "
                                    f"job {self.cluster_id} may still be there") from None
            line.show(len(self.codes), sum(state.running for state in self._known.values()))
            if time.monotonic() - began > _EXPLAIN_SECONDS:
                self._explain_waiting()
            # The interval grows, so that a short job is noticed soon and a long one causes few requests.
            until = time.monotonic() + min(15.0, max(0.5, (time.monotonic() - began) / 10))
            while not stop.received and time.monotonic() < until:
                time.sleep(0.05)
        line.show(len(self.codes), 0, end="\n")

    def _collect(self, reports: Path) -> None:
        for path in reports.iterdir():
            if path.name.isdecimal() and int(path.name) not in self.codes:
                self.codes[int(path.name)] = code = int(path.read_text())
                if code > 128:
                    self._add_to_log(int(path.name), "")

    def _note_lost(self, reports: Path) -> None:
        now = time.monotonic()
        for job in self.request.jobs:
            state = self._known.get(job)
            if job in self.codes or (state and not state.cannot_finish):
                self._missed.pop(job, None)
            elif now - self._missed.setdefault(job, now) >= _GRACE:
                self._collect(reports)
                if job not in self.codes:
                    self.codes[job] = 1
                    self._add_to_log(job, f"ended without an exit code{f' ({state.reason})' if state else ''}")

    def _add_to_log(self, job: int, what: str) -> None:
        """Append to a failed job's log the scheduler's exit report and the end of the scheduler's own log."""
        end = self.scheduler.exit_report(self.cluster_id, job if self.request.variable else None)
        lines = [f"# {self.scheduler.driver}: job {self.cluster_id}: " + "; ".join(filter(None, (what, end)))]
        if self.queue_log.is_file():
            said = self.queue_log.read_text(encoding="utf-8", errors="replace").splitlines()
            lines += [f"# {line}" for line in said[-10:]]
        if len(lines) > 1 or what or end:
            with self.request.log_path(job).open("a", encoding="utf-8") as log:
                log.write("\n".join(lines) + "\n")

    def _explain_waiting(self) -> None:
        """Print once why no job runs: otherwise a request that the cluster can never meet looks like a busy cluster."""
        reasons = sorted({state.reason for state in self._known.values()} - {""})
        if reasons and not self._explained and not any(state.running for state in self._known.values()):
            self._explained = True
            print(f"{self.scheduler.driver}: job {self.cluster_id} waits: {', '.join(reasons)}", file=sys.stderr)

    def _any_cannot_finish(self) -> bool:
        return any(state.cannot_finish for state in self._known.values())

    def _cancel(self, cluster_id: str) -> None:
        command = self.scheduler.cancel(cluster_id)
        try:
            done = ask(*command)
        except SchedulerUnavailableError as error:
            print(f"{self.scheduler.driver}: cannot cancel job {cluster_id}: {error}", file=sys.stderr)
            return
        if done.returncode:
            print(f"{self.scheduler.driver}: {shlex.join(command)}: {done.stderr.strip()}", file=sys.stderr)


def run_driver(scheduler: Scheduler, doc: str | None, arguments: list[str]) -> int:
    """The main function of a cluster driver: run the request in ``arguments`` and return the exit code."""
    if arguments[:1] in (["--help"], ["-h"]):
        print(doc)
        return 0
    stop = SignalNote(signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    try:
        request = parse_request(arguments)
        runner = ClusterRunner(scheduler, request, arguments)
        if request.dry_run:
            print(f"{shlex.join(runner.submit_command())}\n\n{runner.job_script('REPORTS')}", end="")
            return 0
        codes = runner.run(stop)
    except UserError as error:
        print(f"{scheduler.driver}: error: {error}", file=sys.stderr)
        return 1
    if stop.received:
        print(f"{scheduler.driver}: stopped by {stop.received.name}; job {runner.cluster_id} is cancelled",
              file=sys.stderr)
        return 128 + stop.received
    if any(codes.values()):
        print(f"{scheduler.driver}: {failure_report(request, codes)}", file=sys.stderr)
        return 1
    return 0
