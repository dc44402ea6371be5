"""Systems on recordings, in each runtime: scores, times of segments, speed, losses against the base model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from utils.filesystem import read_json
from utils.score.comparison import (
    MAIN_METRICS,
    SIGNIFICANT,
    Comparison,
    Decode,
    collect,
    compare_with,
    main_form,
    shown_rows,
)

RECORDINGS = "recordings"  # in the experiment's directory
TIMES = "times.json"  # in a decode directory
NEAR_SECONDS = (0.2, 0.5)  # starts of segments that are nearer are counted


@dataclass(frozen=True)
class SystemOnRecordings:
    """A system in a runtime on a long set.

    Attributes:
        decode: the scored decode directory.
        against_base: its scores compared with the base model's in the same runtime, by language; empty for the base.
        relative_seconds: decoding time as a multiple of the base model's; None if that was not measured.
    """

    decode: Decode
    against_base: Sequence[Comparison]
    relative_seconds: float | None

    @property
    def runtime(self) -> str:
        return self.decode.info["runtime"]

    @property
    def errors(self) -> list[dict[str, Any]]:
        """Errors of the segments' times, an object for each recording and task."""
        return read_json(self.decode.directory / TIMES, "Decode again: pyscripts/decode_recordings.py")

    def time_errors(self, name: str) -> np.ndarray:
        """(segments,) errors in seconds of ``starts`` or ``ends``."""
        return np.array([error for one in self.errors for error in one[name]])

    @property
    def words_outside_per_minute(self) -> float:
        """Words in segments where nobody speaks, for each minute of audio and task."""
        tasks = len({(one["recording"], one["task"]) for one in self.errors})
        recordings = len({one["recording"] for one in self.errors})
        minutes = self.decode.info["audio_seconds"] / 60 * tasks / max(recordings, 1)
        return sum(one["words_outside"] for one in self.errors) / max(minutes, 1e-9)

    def lost(self, tolerance: float) -> list[str]:
        """Scores over all languages that are worse than the base model's by more than ``tolerance``, significantly."""
        return [f"{one.system['metric'].upper()} {one.baseline['value']:.1f} -> {one.system['value']:.1f} "
                f"(p = {one.test.p_value:.3f})" for one in self.against_base
                if one.system["language"] == "all" and one.is_worse and abs(one.test.difference) > tolerance
                and one.test.p_value < SIGNIFICANT]


def systems_on_recordings(exp_dir: Path) -> list[SystemOnRecordings]:
    """All that was measured on recordings, by set and runtime, the base model first; empty if nothing was.

    Raises:
        UserError: a directory is damaged, or two were scored differently.
    """
    if not (exp_dir / RECORDINGS).is_dir():
        return []
    decodes = collect(exp_dir / RECORDINGS)
    base = {decode.set: decode for decode in decodes if decode.system == "base"}
    found = []
    for decode in decodes:
        baseline = base.get(decode.set)
        if baseline is None or decode is baseline:
            found.append(SystemOnRecordings(decode, (), 1.0 if baseline else None))
            continue
        rows = shown_rows(decode.rows, MAIN_METRICS, main_form([decode]))
        relative = decode.info["seconds"] / max(baseline.info["seconds"], 1e-9)
        found.append(SystemOnRecordings(decode, compare_with(baseline, decode, rows), relative))
    return found
