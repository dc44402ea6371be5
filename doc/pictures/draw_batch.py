#!/usr/bin/env python3
"""Draw doc/pictures/batch.png: how a batch is built here, beside the usual way.

    python3 doc/pictures/draw_batch.py

The time axis is to scale. The positions that represent the silence are those of utils/model/sampled_silence.py.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

INK, GREY, SILENCE = "#2f3b47", "#8a96a3", "#e6eaee"
# One colour an utterance: speech and prompt, text.
COLOURS = (("#4f7fa8", "#b5cfe4"), ("#4d9488", "#b3dad3"), ("#c98a43", "#f0d2a8"))
SECONDS = (4.1, 3.4, 2.6)
TOKENS = ((6, 5), (5, 4), (5,))  # text tokens of each target, the end token included
WINDOW = 30.0  # seconds
PADDED = 4.5  # what the batch is padded to: its longest utterance and a little silence
HEIGHT, STEP = 0.62, 0.92  # of a row, and from a row to the next
ENCODER, DECODER = 31.6, 38.8  # where they begin
TOKEN = 0.95  # width of one
PROMPT = 4


def audio(axes: Axes, row: float, utterance: int, padded: float) -> None:
    """One row of features: speech, then silence."""
    seconds = SECONDS[utterance]
    axes.add_patch(Rectangle((0, row), padded, HEIGHT, facecolor=SILENCE, edgecolor="none"))
    axes.add_patch(Rectangle((0, row), seconds, HEIGHT, facecolor=COLOURS[utterance][0], edgecolor="none"))


def targets(axes: Axes, row: float, utterance: int, chosen: tuple[int, ...]) -> None:
    """One decoder row: for each target its prompt, then its text."""
    dark, light = COLOURS[utterance]
    left = DECODER
    for number in chosen:
        for token in range(PROMPT + TOKENS[utterance][number]):
            axes.add_patch(Rectangle((left + 0.06, row + 0.06), TOKEN - 0.12, HEIGHT - 0.12, edgecolor="none",
                                     facecolor=dark if token < PROMPT else light))
            left += TOKEN
        left += 0.5


def box(axes: Axes, left: float, bottom: float, width: float, height: float, text: str) -> None:
    axes.add_patch(FancyBboxPatch((left, bottom), width, height, boxstyle="round,pad=0,rounding_size=0.35",
                                  facecolor="white", edgecolor=INK, linewidth=1.2))
    axes.text(left + width / 2, bottom + height / 2, text, ha="center", va="center", rotation=90, fontsize=11,
              color=INK)


def arrow(axes: Axes, start: float, end: float, height: float) -> None:
    axes.add_patch(FancyArrowPatch((start, height), (end, height), arrowstyle="-|>", mutation_scale=9, linewidth=1.1,
                                   color=GREY, shrinkA=0, shrinkB=0))


def part(axes: Axes, title: str, note: str, top: float) -> None:
    axes.text(0, top, title, fontsize=12, fontweight="bold", color=INK, va="bottom")
    axes.text(DECODER, top, note, fontsize=11, color=INK, va="bottom")


def rows_of(axes: Axes, top: float, rows: list[tuple[int, tuple[int, ...]]], padded: float) -> None:
    """Features, encoder and decoder rows, from ``top`` down."""
    for number, (utterance, chosen) in enumerate(rows):
        row = top - HEIGHT - number * STEP
        audio(axes, row, utterance, padded)
        targets(axes, row, utterance, chosen)
        arrow(axes, padded + 0.25, ENCODER - 0.15, row + HEIGHT / 2)
        arrow(axes, ENCODER + 2.75, DECODER - 0.3, row + HEIGHT / 2)
    bottom = top - HEIGHT - (len(rows) - 1) * STEP
    box(axes, ENCODER, bottom, 2.6, top - bottom, "encoder")


def sampled(axes: Axes, top: float) -> None:
    """A row at the full window, most of whose silence is not computed."""
    row = top - HEIGHT
    axes.add_patch(Rectangle((0, row), WINDOW, HEIGHT, facecolor=SILENCE, edgecolor="none"))
    axes.add_patch(Rectangle((0, row), SECONDS[1], HEIGHT, facecolor=COLOURS[1][0], edgecolor="none"))
    growth = 64.0 ** (np.arange(65) / 64)
    edges = SECONDS[1] + (growth - 1) / 63 * (WINDOW - SECONDS[1])
    for middle in (edges[:-1] + edges[1:]) / 2:
        axes.plot([middle, middle], [row + 0.08, top - 0.08], color=INK, linewidth=0.8, solid_capstyle="butt")


def legend(axes: Axes, bottom: float) -> None:
    dark, light = COLOURS[0]
    left = 0.0
    for colours, text, width in (((dark,), "speech", 7.6), ((SILENCE,), "silence added", 11.2),
                                 ((dark,) * 2, "prompt: given, not in the loss", 20.0),
                                 ((light,) * 2, "text and end token: in the loss", 18.0)):
        size = 1.9 / len(colours)
        for number, colour in enumerate(colours):
            gap = 0.06 if len(colours) > 1 else 0
            axes.add_patch(Rectangle((left + number * size + gap, bottom), size - 2 * gap, 0.5, facecolor=colour))
        axes.text(left + 2.4, bottom + 0.25, text, fontsize=10.5, color=INK, va="center")
        left += width


def main() -> None:
    plt.rcParams["font.family"] = "DejaVu Sans"
    figure, axes = plt.subplots(figsize=(10.8, 6.9))
    axes.set_xlim(-0.6, 60.5)
    axes.set_ylim(-1.1, 13.3)
    axes.axis("off")

    part(axes, "Usual: one example for each target, padded to 30 s", "decoder: one target in a row", 12.65)
    rows_of(axes, 12.35, [(0, (0,)), (0, (1,)), (1, (0,)), (1, (1,)), (2, (0,))], WINDOW)

    part(axes, "Here: each utterance once, hardly padded", "decoder: all targets of an utterance in a row", 7.15)
    rows_of(axes, 6.45, [(0, (0, 1)), (1, (0, 1)), (2, (0,))], PADDED)
    axes.text((PADDED + ENCODER) / 2, 6.45 - HEIGHT - 0.5 * STEP + HEIGHT / 2, "nothing to compute", fontsize=10.5,
              color=GREY, ha="center", va="center", style="italic")
    for name, left in (("transcribe", 0.0), ("translate", (PROMPT + TOKENS[0][0]) * TOKEN + 0.5)):
        axes.text(DECODER + left + 0.06, 6.5, name, fontsize=10.5, color=COLOURS[0][0], va="bottom")

    axes.text(0, 2.85, "Two utterances in five: the full window, its silence represented by 64 positions", fontsize=11,
              color=INK, va="bottom")
    sampled(axes, 2.6)
    arrow(axes, WINDOW + 0.25, ENCODER + 2.45, 2.6 - HEIGHT / 2)
    axes.text(ENCODER + 2.9, 2.6 - HEIGHT / 2, "to the encoder", fontsize=10.5, color=GREY, va="center")
    for second in range(0, 31, 5):
        axes.plot([second, second], [1.85, 1.7], color=GREY, linewidth=0.8)
        axes.text(second, 1.6, f"{second} s", fontsize=9.5, color=GREY, ha="center", va="top")
    legend(axes, -0.35)

    figure.savefig(Path(__file__).with_name("batch.png"), dpi=150, bbox_inches="tight", pad_inches=0.12,
                   facecolor="white")


if __name__ == "__main__":
    main()
