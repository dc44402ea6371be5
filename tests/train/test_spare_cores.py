"""Threads of a training follow the load of the machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from utils.train import spare_cores
from utils.train.spare_cores import SpareCores, available_cores

TICKS = os.sysconf("SC_CLK_TCK")


@pytest.fixture(autouse=True)
def threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = torch.get_num_threads()
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    monkeypatch.setattr(spare_cores, "available_cores", lambda: 4)
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


class Machine:
    """A machine of six cores, four of them this process'."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
        self.stat = directory / "stat"
        self.clock = self.own = 0.0
        self.busy = [0.0] * 6
        self.pass_time(0.0, 0.0, [0.0] * 6)
        monkeypatch.setattr("time.monotonic", lambda: self.clock)
        monkeypatch.setattr(os, "times", lambda: os.times_result((self.own, 0.0, 0.0, 0.0, 0.0)))

    def pass_time(self, seconds: float, own: float, busy: list[float]) -> None:
        self.clock += seconds
        self.own += own
        self.busy = [one + more for one, more in zip(self.busy, busy, strict=True)]
        rows = [f"cpu{number} {round(used * TICKS)} 0 0 {10**6} 0 0 0 0 0 0" for number, used in enumerate(self.busy)]
        self.stat.write_text("\n".join(["cpu 1 2 3 4 5 6 7 8", *rows, "intr 5"]) + "\n")


def test_threads_are_the_cores_that_others_leave(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    machine = Machine(monkeypatch, tmp_path)
    callback = SpareCores(machine.stat)
    steps = [(40.0, [10.0] * 4 + [10.0, 10.0], 4),  # alone; what happens on other cores does not matter
             (20.0, [10.0, 10.0, 10.0, 0.0] + [0.0] * 2, 3),  # one other process
             (5.0, [10.0] * 4 + [0.0] * 2, 1),  # all of it is taken
             (10.0, [2.0, 10.0, 0.0, 0.0] + [0.0] * 2, 4)]  # a little is not counted
    for own, busy, expected in steps:
        machine.pass_time(10.0, own, busy)
        callback.on_step_end(None, None, None)  # type: ignore[arg-type]
        assert torch.get_num_threads() == expected
    machine.pass_time(1.0, 0.0, [1.0] * 6)  # too soon for another look
    callback.on_step_end(None, None, None)  # type: ignore[arg-type]
    assert torch.get_num_threads() == 4


def test_a_given_number_of_threads_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    machine = Machine(monkeypatch, tmp_path)
    callback = SpareCores(machine.stat)
    machine.pass_time(10.0, 5.0, [10.0] * 6)
    callback.on_step_end(None, None, None)  # type: ignore[arg-type]
    assert torch.get_num_threads() == 4


@pytest.mark.parametrize(("limit", "cores"), [("max 100000", 4), ("200000 100000", 2), ("50000 100000", 1), ("", 4)])
def test_a_containers_limit_counts(monkeypatch: pytest.MonkeyPatch, limit: str, cores: int) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: limit)
    assert available_cores() == cores
