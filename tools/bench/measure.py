"""Common parts of the benchmarks: timing programs in turn, and reporting medians and ratios (table, JSON)."""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tabulate import tabulate

from utils.cli import log, make_parser
from utils.data.lists import keys_by_audio, read_list
from utils.errors import UserError
from utils.filesystem import atomic_open
from utils.provenance import provenance


@dataclass
class Timing:
    """Seconds of each repetition of one contestant, and other measurements of it."""

    name: str
    seconds: list[float]
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def median(self) -> float:
        """Median of the seconds."""
        return statistics.median(self.seconds)


def bench_parser(doc: str | None, repetitions: int) -> argparse.ArgumentParser:
    """The options that all benchmarks have."""
    parser = make_parser(doc)
    parser.add_argument("--repetitions", type=int, default=repetitions, help="of each contestant, in turn")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="CPU threads for everyone")
    parser.add_argument("--utterances", type=int, default=40, help="audio files, spread evenly over the set")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    return parser


def take_turns(contestants: Mapping[str, Callable[[], Any]], repetitions: int) -> list[Timing]:
    """Run every contestant once in each round, so that changes in the machine's speed affect all alike.

    Args:
        contestants: name -> what is timed. Where first calls cost more, each has run before.
    """
    timings = [Timing(name, []) for name in contestants]
    for repetition in range(repetitions):
        for timing, run in zip(timings, contestants.values(), strict=True):
            gc.collect()
            started = time.perf_counter()
            run()
            timing.seconds.append(time.perf_counter() - started)
            log(f"round {repetition + 1}/{repetitions}: {timing.name}: {timing.seconds[-1]:.2f} s")
    return timings


def spread(items: Sequence[Any], count: int) -> list[Any]:
    """``count`` of the items at even distances, all if there are fewer."""
    return [items[index] for index in np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int)]


def spread_audio(wav_scp: Path, count: int) -> dict[str, list[str]]:
    """Audio file -> its keys, for ``count`` files spread over a data directory's wav.scp.

    Files are sorted by language first (keys start with the utterance, which says nothing about it).

    Raises:
        UserError: there is no such list.
    """
    keys_of = keys_by_audio(read_list(wav_scp, verbatim=True))
    if not keys_of:
        raise UserError(f"{wav_scp}: is empty; run ./run.sh --stop-stage 1 first")
    sources = sorted(keys_of, key=lambda source: (keys_of[source][0].split("|")[1], source))
    return {source: keys_of[source] for source in spread(sources, count)}


def report(title: str, settings: dict[str, Any], headers: Sequence[str], rows: Sequence[Sequence[Any]],
           json_file: Path | None, timings: Sequence[Timing], floatfmt: str | Sequence[str] = ".1f") -> None:
    """Print the table below its title and settings, and write everything to ``json_file`` if one is given."""
    origin = provenance("")
    print(f"\n{title}\n{origin['date']}, commit {origin['commit']}; {origin['machine']}")
    print(", ".join(f"{name} {value}" for name, value in settings.items()) + "\n")
    print(tabulate(rows, headers, tablefmt="pipe", floatfmt=floatfmt), flush=True)
    if json_file:
        figures = [{"name": timing.name, "seconds": timing.seconds, "median": timing.median, **timing.more}
                   for timing in timings]
        with atomic_open(json_file) as stream:
            json.dump({"title": title, **origin, "settings": settings, "figures": figures}, stream, indent=1)
