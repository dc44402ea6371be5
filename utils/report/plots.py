"""The plots of report.html, as SVG."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from utils.data.lists import read_list
from utils.report.sentences import TITLES
from utils.score.comparison import Decode, is_export, main_form, shown_rows
from utils.score.metrics import METRICS
from utils.train.records import loss_curves

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SECONDS = (0, 2, 4, 6, 10, 15, 30)  # edges of the classes of utterance length
_COLOURS = {"base": "#8a8a8a"}
_TUNED, _EXPORTED = ("#1f5fae", "#6a3d9a", "#b15928"), ("#2a9d8f", "#8ab17d", "#c9a227", "#457b9d")


def colours(systems: Sequence[str]) -> dict[str, str]:
    """A colour for each system: grey for the base model, blue for the tuned one, greens for exports."""
    chosen, counts = dict(_COLOURS), [0, 0]
    for system in systems:
        if system not in chosen:
            exported = is_export(system)
            palette = _EXPORTED if exported else _TUNED
            chosen[system] = palette[counts[exported] % len(palette)]
            counts[exported] += 1
    return chosen


def _svg(figure: Figure) -> str:
    """A figure as a ``data:`` address; letters are drawn as paths, so that no font is needed."""
    stream = io.BytesIO()
    figure.savefig(stream, format="svg", metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(stream.getvalue()).decode()


def _figure(columns: int = 1) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.2 * columns, 3.6), layout="constrained")
    axes = list(np.atleast_1d(figure.subplots(1, columns)))
    for axis in axes:
        axis.grid(axis="y", alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes


def loss_plot(history: Sequence[Mapping[str, Any]]) -> str | None:
    """A plot of training and development loss by step; None if no loss was logged."""
    curves = loss_curves(history)
    if not any(curves.values()):
        return None
    figure, (axis,) = _figure()
    for (label, points), (color, marker) in zip(curves.items(), (("#8a8a8a", None), ("#1f5fae", "o")), strict=True):
        if points:
            axis.plot(*zip(*points, strict=True), label=label, color=color, marker=marker)
    axis.set(xlabel="step", ylabel="loss (cross entropy per token)", ylim=(0, None))
    axis.legend(frameon=False)
    return _svg(figure)


def language_plot(decodes: Sequence[Decode], metric: str) -> str | None:
    """A plot of one set's scores by language with 95 % intervals, a bar for each system; None if there are none."""
    rows = {decode.system: {row["language"]: row for row in shown_rows(decode.rows, [metric], main_form([decode]))}
            for decode in decodes}
    languages = list(dict.fromkeys(language for of_system in rows.values() for language in of_system))
    if not languages:
        return None
    figure, (axis,) = _figure()
    width = 0.8 / len(rows)
    for index, (system, of_system) in enumerate(rows.items()):
        places = [(place + (index - (len(rows) - 1) / 2) * width, of_system[language])
                  for place, language in enumerate(languages) if language in of_system]
        values = np.array([row["value"] for _, row in places])
        ends = np.array([row["ci95"] for _, row in places]).T
        axis.bar([place for place, _ in places], values, width * 0.92, label=system, color=colours([*rows])[system],
                 yerr=[values - ends[0], ends[1] - values], error_kw={"elinewidth": 1, "ecolor": "#333"})
    axis.set_xticks(range(len(languages)), languages)
    axis.set(ylabel=TITLES[metric], ylim=(0, None))
    _legend_above(axis, len(rows))
    return _svg(figure)


def length_plot(decodes: Sequence[Decode], metric: str, utt2dur: Path) -> str | None:
    """A plot of one set's error rate by length of the audio; None without durations or without this metric."""
    tables = {decode.system: decode.statistics.get((metric, main_form([decode]))) for decode in decodes}
    if not utt2dur.exists() or not any(tables.values()):
        return None
    seconds = {key: float(value) for key, value in read_list(utt2dur).items()}
    figure, (axis,) = _figure()
    for system, table in tables.items():
        if table is None:
            continue
        classes = np.digitize([seconds.get(key, 0.0) for key in table.keys], SECONDS[1:-1])
        sums = [table.values[classes == index].sum(axis=0) for index in range(len(SECONDS) - 1)]
        points = [(index, METRICS[metric].score(total)) for index, total in enumerate(sums) if total[3]]
        axis.plot(*zip(*points, strict=True), "o-", label=system, color=colours([*tables])[system])
    axis.set_xticks(range(len(SECONDS) - 1), [f"{low}–{high} s" for low, high in pairwise(SECONDS)])
    axis.set(ylabel=TITLES[metric], xlabel="length of the utterance", ylim=(0, None))
    _legend_above(axis, len(tables))
    return _svg(figure)


def _legend_above(axis: Axes, columns: int) -> None:
    """Put the legend above the axes, where it hides no bar."""
    axis.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, borderaxespad=0)
