#!/usr/bin/env python3
"""Run a command, or an array of jobs, through Grid Engine: Kaldi's queue.pl.

    cmd_sge.py [options] [JOB=first:last] dir/log/name.JOB.log command argument ...

The contract is that of cmd_local.py. conf/queue.conf defines what an option means to qsub; an option that it does
not define is refused. The job script stays in dir/log/q/name.sh. Ctrl-C cancels the jobs.

    utils/jobs/cmd_sge.py --mem 4G --max-jobs-run 20 JOB=1:100 exp/log/dump.JOB.log \\
      pyscripts/dump_feats.py --job JOB --num-jobs 100 data/train dump/train

Options known here (the others are those of conf/queue.conf):
    --max-jobs-run N   run at most N jobs at once
    --num-threads N    threads of one job, also as OMP_NUM_THREADS (default: 1)
    --config FILE      instead of conf/queue.conf of the working directory or of this recipe
    --shell true       a shell interprets the arguments (| && > $x), as in Kaldi's recipes
    --dry-run          print the submit command and the job script; submit nothing
    -q gpu.q           and any other option with one dash: passed on to qsub
"""

from __future__ import annotations

import getpass
import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from utils.jobs.cluster import run_driver
from utils.jobs.scheduler import JobState, Scheduler, SchedulerUnavailableError, ask


class GridEngine(Scheduler):
    """Grid Engine's commands: qsub, qstat, qacct, qdel."""

    driver = "cmd_sge.py"
    conf_name = "queue.conf"
    task_variable = "SGE_TASK_ID"

    def job_flags(self, name: str, output: Path) -> list[str]:
        """See :class:`Scheduler`. A job's name must not begin with a digit; -o takes ``host:path``."""
        safe = re.sub(r"[^\w.-]", "_", name, flags=re.ASCII)
        return ["-terse", "-N", safe if safe[0].isalpha() else f"j{safe}", "-j", "y", "-o", f":{output}"]

    def array_flags(self, jobs: range, limit: int | None) -> list[str]:
        """See :class:`Scheduler`."""
        return ["-t", f"{jobs[0]}-{jobs[-1]}", *(["-tc", str(limit)] if limit else [])]

    def read_id(self, output: str) -> str:
        """Return the id from ``4711``, or from ``4711.1-8:1`` for an array."""
        return output.strip().splitlines()[-1].split(".")[0]

    def unfinished(self, cluster_id: str, jobs: range) -> dict[int, JobState]:
        """See :class:`Scheduler`. A job whose host does not answer (u) or that could not start (E) cannot finish."""
        listing = ask("qstat", "-f", "-g", "d", "-xml", "-u", getpass.getuser())
        try:
            tree = ElementTree.fromstring(listing.stdout)
        except ElementTree.ParseError:
            raise SchedulerUnavailableError(" ".join(listing.stderr.split()) or "qstat printed nothing") from None
        known: dict[int, JobState] = {}
        for place in [*tree.iter("Queue-List"), *tree.findall("job_info")]:
            host_is_gone = "u" in place.findtext("state", "")
            for entry in place.findall("job_list"):
                if entry.findtext("JB_job_number") == cluster_id:
                    state = _state(entry.findtext("state", ""), host_is_gone)
                    known |= dict.fromkeys(_tasks(entry.findtext("tasks", ""), jobs), state)
        return known

    def cancel(self, cluster_id: str) -> list[str]:
        """See :class:`Scheduler`."""
        return ["qdel", cluster_id]

    def exit_report(self, cluster_id: str, job: int | None) -> str:
        """Return qstat's reason for a job in the error state, or the accounting record of a job that has ended."""
        try:
            reasons = re.findall(r"^error reason.*?: +(.*)", ask("qstat", "-j", cluster_id).stdout, re.MULTILINE)
            if reasons:
                return f"Grid Engine says {reasons[0].strip()}"
            account = ask("qacct", "-j", cluster_id, *([] if job is None else ["-t", str(job)])).stdout
        except SchedulerUnavailableError:
            return ""
        facts = re.findall(r"^(failed|exit_status|hostname) +(.*?) *$", account, re.MULTILINE)
        return "Grid Engine says " + ", ".join(f"{name}={value}" for name, value in facts) if facts else ""


def _state(letters: str, host_is_gone: bool) -> JobState:
    if "E" in letters:
        return JobState(False, "could not be started", cannot_finish=True)
    if host_is_gone:
        return JobState(True, "its host does not answer", cannot_finish=True)
    waits = "w" in letters or "h" in letters
    return JobState(not waits, f"state {letters}" if waits else "")


def _tasks(text: str, jobs: range) -> list[int]:
    """Job ids in ``3``, ``4-8:1`` or ``4,6``; the only id of ``jobs`` for a job that is not an array."""
    tasks: list[int] = []
    for first, last in re.findall(r"(\d+)(?:-(\d+))?(?::\d+)?", text):
        tasks += range(int(first), int(last or first) + 1)
    return tasks or [jobs[0]]


if __name__ == "__main__":
    sys.exit(run_driver(GridEngine(), __doc__, sys.argv[1:]))
