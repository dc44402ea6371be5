"""The part of reports on recordings: each system in each runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from utils.report.sentences import TITLES
from utils.score.comparison import main_form, shown_rows
from utils.score.metrics import METRICS
from utils.score.recording_scores import NEAR_SECONDS, SystemOnRecordings, systems_on_recordings

RECORDINGS_NOTE = """\
A set's own recordings, if it has segments, else recordings of about 100 s, joined from its utterances with pauses of
0.2 to 2 s, in the programs that users run a model in,
with their defaults; hypotheses are cut into the reference's segments (minimum WER). In brackets: per language better or
worse than the base model, significantly (each test by itself). A start's error is the distance to the nearest start of
a segment that was written. Time is relative to the base model's, computed in the same type."""


def recording_rows(exp_dir: Path) -> list[list[str]]:
    """The table, header first; empty if nothing was measured on recordings."""
    systems = systems_on_recordings(exp_dir)
    if not systems:
        return []
    metrics = [metric for metric in ("wer", "cer", "bleu")
               if any(row["metric"] == metric for system in systems for row in system.decode.rows)]
    header = ["recordings", "system", *(TITLES[metric] for metric in metrics), "starts off, median (95 %)",
              *(f"within {limit} s" for limit in NEAR_SECONDS), "ends off", "time", "words in silence a minute"]
    return [header, *(_row(system, metrics) for system in systems)]


def _row(system: SystemOnRecordings, metrics: list[str]) -> list[str]:
    starts, ends = system.time_errors("starts"), system.time_errors("ends")
    relative = "–" if system.relative_seconds is None else f"{system.relative_seconds:.2f}"
    return [system.decode.set, system.decode.system, *(_score(system, metric) for metric in metrics),
            f"{np.median(starts):.2f} s ({np.percentile(starts, 95):.2f})",
            *(f"{100 * np.mean(starts <= limit):.0f} %" for limit in NEAR_SECONDS), f"{np.median(ends):.2f} s",
            relative, f"{system.words_outside_per_minute:.1f}"]


def _score(system: SystemOnRecordings, metric: str) -> str:
    """The score over all languages, and in which of them the difference from the base model is significant."""
    rows = shown_rows(system.decode.rows, [metric], main_form([system.decode]))
    if not rows:
        return "–"
    marks: dict[str, list[str]] = {"better": [], "worse": []}
    for one in system.against_base:
        if one.system["metric"] == metric and one.system["language"] != "all" and one.is_clear:
            higher = one.test.difference > 0
            marks["better" if higher == METRICS[metric].higher_is_better else "worse"].append(one.system["language"])
    shown = "; ".join(f"{name}: {' '.join(languages)}" for name, languages in marks.items() if languages)
    return f"{rows[-1]['value']:.1f}" + (f" ({shown})" if shown else "")
