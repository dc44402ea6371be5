"""The interface to a cluster's scheduler, which cmd_slurm.py and cmd_sge.py implement.

Standard library only.
"""

from __future__ import annotations

import subprocess
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path


class SchedulerUnavailableError(Exception):
    """The scheduler does not answer."""


@dataclass(frozen=True)
class JobState:
    """The scheduler's state of a job that has not ended."""

    running: bool
    reason: str = ""  # why the job waits
    cannot_finish: bool = False  # the job will never end: it could not start, or its node does not answer


class Scheduler(ABC):
    """A cluster engine: the commands and flags of its scheduler."""

    driver: str  # file name of the driver, for messages
    conf_name: str  # name of its file in conf/
    task_variable: str  # environment variable with the job id in an array

    @abstractmethod
    def job_flags(self, name: str, output: Path) -> list[str]:
        """Return flags for the job's name and for its output, which has errors from before its own log is open."""

    @abstractmethod
    def array_flags(self, jobs: range, limit: int | None) -> list[str]:
        """Return flags for an array of jobs, of which at most ``limit`` run at once."""

    @abstractmethod
    def read_id(self, output: str) -> str:
        """Return the cluster's id of a job, from the output of the submit command."""

    @abstractmethod
    def unfinished(self, cluster_id: str, jobs: range) -> dict[int, JobState]:
        """Return the jobs that the scheduler still lists, with their states.

        Raises:
            SchedulerUnavailableError: the scheduler does not answer.
        """

    @abstractmethod
    def cancel(self, cluster_id: str) -> list[str]:
        """Return the command that cancels all jobs of a submission."""

    @abstractmethod
    def exit_report(self, cluster_id: str, job: int | None) -> str:
        """Return what the scheduler knows about a job's end; empty if nothing. ``job``: None if it is no array."""


def ask(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a scheduler's command, which the terminal's Ctrl-C does not reach.

    Raises:
        SchedulerUnavailableError: the command does not exist, or does not end within 120 s.
    """
    try:
        return subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=120,
                              stdin=subprocess.DEVNULL, start_new_session=True)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SchedulerUnavailableError(str(error)) from None
