"""As many threads as other processes leave cores: on a busy core, threads that wait for each other are much slower.

A matrix product is shared out to all threads and ends with the last of them. If another process has one of the cores,
this thread gets half of it, and the others wait.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from utils.cli import log

_SECONDS = 5.0  # between two looks at the load
_NEARLY = 0.3  # of a core: others that take less leave it, as system processes do


class _Usage(NamedTuple):
    """Since the machine started, seconds: the wall clock, all processes on this process' cores, this process."""

    clock: float
    everybody: float
    own: float


class SpareCores(TrainerCallback):
    """Sets PyTorch's threads, while a training on the CPU goes on, to the cores that are left to it.

    ``OMP_NUM_THREADS`` in the environment fixes their number, as does a machine without /proc/stat.

    Args:
        stat: the kernel's count of what all processes used; another file in tests.
    """

    def __init__(self, stat: Path = Path("/proc/stat")) -> None:
        self._stat = stat
        self.cores = available_cores()
        self._active = "OMP_NUM_THREADS" not in os.environ and self.cores > 1 and stat.is_file()
        self._last = self._usage() if self._active else _Usage(0, 0, 0)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl,
                    **kwargs: Any) -> None:
        """Called by the trainer."""
        if self._active and time.monotonic() - self._last.clock >= _SECONDS:
            self.look()

    def look(self) -> None:
        """Set the number of threads by the load since the last look."""
        now, last = self._usage(), self._last
        self._last = now
        elapsed = now.clock - last.clock
        others = max(0.0, (now.everybody - last.everybody) - (now.own - last.own)) / elapsed
        threads = max(1, min(self.cores, int(len(os.sched_getaffinity(0)) - others + _NEARLY)))
        if threads != torch.get_num_threads():
            log(f"other processes use {others:.1f} cores; training goes on with {threads} threads")
            torch.set_num_threads(threads)

    def _usage(self) -> _Usage:
        own = sum(os.times()[:4])  # with the processes that read data
        return _Usage(time.monotonic(), _busy_seconds(self._stat), own)


def available_cores() -> int:
    """How many cores this process may use: those of its affinity, and of its control group's limit."""
    cores = len(os.sched_getaffinity(0))
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        return max(1, min(cores, int(quota) // int(period)))
    except (OSError, ValueError):  # no limit ("max"), or no control groups
        return cores


def _busy_seconds(stat: Path) -> float:
    """What all processes used of the cores of this process' affinity, and what the host took from them."""
    own = {f"cpu{number}" for number in os.sched_getaffinity(0)}
    ticks = 0
    for line in stat.read_text(encoding="ascii").splitlines():
        name, *values = line.split()
        if name in own:
            user, nice, system, _idle, _waiting, hard, soft, steal = map(int, values[:8])
            ticks += user + nice + system + hard + soft + steal
    return ticks / os.sysconf("SC_CLK_TCK")
