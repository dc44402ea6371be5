"""What differs between cluster engines: the interface that cmd_slurm.py and cmd_sge.py fill in.

Standard library only.
"""

from __future__ import annotations

import subprocess
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path


class SchedulerUnavailableError(Exception):
    """The scheduler cannot be asked at the moment."""


@dataclass(frozen=True)
class JobState:
    """What the scheduler says about a job that has not ended."""

    running: bool
    reason: str = ""  # why it waits
    hopeless: bool = False  # the scheduler keeps it but it will not end: it could not start, its node is gone


class Scheduler(ABC):
    """What differs between cluster engines."""

    driver: str  # the driver's name, for messages
    conf_name: str  # its file under conf/
    task_variable: str  # environment variable with the id of an array's job

    @abstractmethod
    def job_flags(self, name: str, output: Path) -> list[str]:
        """Flags that name the job and say where what it prints goes (errors before its own log is open)."""

    @abstractmethod
    def array_flags(self, jobs: range, limit: int | None) -> list[str]:
        """Flags for an array of jobs, at most ``limit`` of them running at once."""

    @abstractmethod
    def read_id(self, output: str) -> str:
        """The cluster's id of a job, from what the submit command printed."""

    @abstractmethod
    def unfinished(self, cluster_id: str, jobs: range) -> dict[int, JobState]:
        """The jobs that the scheduler still holds.

        Raises:
            SchedulerUnavailableError: it does not answer.
        """

    @abstractmethod
    def cancel(self, cluster_id: str) -> list[str]:
        """The command that cancels all jobs of a submission."""

    @abstractmethod
    def exit_report(self, cluster_id: str, job: int | None) -> str:
        """What the scheduler remembers about the end of a job; empty if nothing. ``None``: it was no array."""


def ask(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a scheduler's command, shielded from the terminal's Ctrl-C.

    Raises:
        SchedulerUnavailableError: it is not there or hangs.
    """
    try:
        return subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=120,
                              stdin=subprocess.DEVNULL, start_new_session=True)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SchedulerUnavailableError(str(error)) from None
