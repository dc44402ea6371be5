#!/usr/bin/env python3
"""Run a command, or an array of jobs, through Slurm: Kaldi's slurm.pl.

    cmd_slurm.py [options] [JOB=first:last] dir/log/name.JOB.log command argument ...

The contract is that of cmd_local.py. conf/slurm.conf defines what an option means to sbatch; an option that it does
not define is refused. The job script stays in dir/log/q/name.sh. Ctrl-C cancels the jobs.

    utils/jobs/cmd_slurm.py --mem 4G --max-jobs-run 20 JOB=1:100 exp/log/dump.JOB.log \\
      pyscripts/dump_feats.py --job JOB --num-jobs 100 data/train dump/train

Options known here (the others are those of conf/slurm.conf):
    --max-jobs-run N   run at most N jobs at once
    --num-threads N    threads of one job, also as OMP_NUM_THREADS (default: 1)
    --config FILE      instead of conf/slurm.conf of the working directory or of this recipe
    --shell true       a shell interprets the arguments (| && > $x), as in Kaldi's recipes
    --dry-run          print the submit command and the job script; submit nothing
    -p gpu             and any other option with one dash: passed on to sbatch
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from utils.jobs.cluster import run_driver
from utils.jobs.scheduler import JobState, Scheduler, SchedulerUnavailableError, ask

# Reasons for which a job waits until a person intervenes.
_CANNOT_FINISH = re.compile(r"launch failed|JobHoldMaxRequeue|DependencyNeverSatisfied|RequeueHold|BadConstraints")


class Slurm(Scheduler):
    """Slurm's commands: sbatch, squeue, scontrol, scancel."""

    driver = "cmd_slurm.py"
    conf_name = "slurm.conf"
    task_variable = "SLURM_ARRAY_TASK_ID"

    def job_flags(self, name: str, output: Path) -> list[str]:
        """See :class:`Scheduler`."""
        return ["--parsable", f"--job-name={name}", "--open-mode=append",
                f"--output={str(output).replace('%', '%%')}"]

    def array_flags(self, jobs: range, limit: int | None) -> list[str]:
        """See :class:`Scheduler`."""
        return [f"--array={jobs[0]}-{jobs[-1]}" + (f"%{limit}" if limit else "")]

    def read_id(self, output: str) -> str:
        """Return the id from ``4711`` or ``4711;cluster``."""
        return output.strip().splitlines()[-1].split(";")[0]

    def unfinished(self, cluster_id: str, jobs: range) -> dict[int, JobState]:
        """See :class:`Scheduler`. ``squeue -r`` has a line for every job of an array."""
        listing = ask("squeue", "--noheader", "--array", f"--jobs={cluster_id}", "--format=%K|%T|%r")
        if listing.returncode:
            if "Invalid job id" in listing.stderr:  # it ended so long ago that Slurm no longer knows it
                return {}
            raise SchedulerUnavailableError(" ".join(listing.stderr.split()))
        known = {}
        for line in listing.stdout.splitlines():
            task, state, reason = line.strip().split("|", 2)
            waits = state in ("PENDING", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT")
            cannot_finish = waits and (state == "SPECIAL_EXIT" or bool(_CANNOT_FINISH.search(reason)))
            state_of_job = JobState(not waits, reason if waits else "", cannot_finish)
            known[int(task) if task.isdecimal() else jobs[0]] = state_of_job
        return known

    def cancel(self, cluster_id: str) -> list[str]:
        """See :class:`Scheduler`."""
        return ["scancel", cluster_id]

    def exit_report(self, cluster_id: str, job: int | None) -> str:
        """See :class:`Scheduler`. The controller keeps ended jobs for five minutes by default, without a database."""
        try:
            shown = ask("scontrol", "--oneliner", "show", "job", cluster_id if job is None else f"{cluster_id}_{job}")
        except SchedulerUnavailableError:
            return ""
        facts = dict(re.findall(r"\b(JobState|Reason|ExitCode|NodeList)=(\S+)", shown.stdout))
        return "Slurm says " + ", ".join(f"{name}={value}" for name, value in facts.items()) if facts else ""


if __name__ == "__main__":
    sys.exit(run_driver(Slurm(), __doc__, sys.argv[1:]))
