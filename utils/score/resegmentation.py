"""A recording's hypothesis, cut into the segments of the reference, so that each can be scored; errors of times."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from utils.data.languages import is_spaceless


class TimedText(NamedTuple):
    """A segment that a runtime wrote: start and end in seconds, and its text."""

    start: float
    end: float
    text: str


def resegment(references: Sequence[str], hypothesis: str, language: str) -> list[str]:
    """Cut a hypothesis where its words agree best with the references' (minimum WER, Matusov et al. 2005).

    Case and punctuation do not count. Languages that are written without spaces are cut between characters.

    Args:
        references: the texts of the segments, in order.
        language: Whisper code of the texts.

    Returns:
        A part of the hypothesis for each reference.
    """
    apart = is_spaceless(language)
    words = _units(hypothesis, apart)
    if not words:
        return [""] * len(references)
    lines = [" ".join(map(_bare, _units(reference, apart))) for reference in references]
    from mweralign import align_texts

    with _quiet():
        aligned = align_texts("\n".join(lines), " ".join(map(_bare, words)))
    counts = [len(line.split()) for line in aligned.split("\n")[:len(references)]]
    edges = np.cumsum([0, *counts]).tolist()
    edges[-1] = len(words)
    return [("" if apart else " ").join(words[first:last]) for first, last in pairwise(edges)]


def _units(text: str, characters: bool) -> list[str]:
    """The words of a text, or its characters."""
    return [*text.replace(" ", "")] if characters else text.split()


def _bare(word: str) -> str:
    """A word for alignment: letters and digits in lower case; what has none is one sign, so that no word gets lost."""
    return "".join(char for char in word.casefold() if char.isalnum()) or "-"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what the aligner's C++ part prints."""
    sys.stdout.flush()
    kept = [os.dup(number) for number in (1, 2)]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        for number in (1, 2):
            os.dup2(nowhere, number)
        yield
    finally:
        for number, copy in zip((1, 2), kept, strict=True):
            os.dup2(copy, number)
            os.close(copy)
        os.close(nowhere)


class TimeErrors(NamedTuple):
    """How far the times of a runtime's segments are from the reference's, in seconds.

    Attributes:
        starts: of each reference segment, the distance of its start to the nearest start of a segment that was written.
        ends: the same for its end.
        words_outside: words in segments that touch no reference segment.
    """

    starts: list[float]
    ends: list[float]
    words_outside: int


def time_errors(references: Sequence[tuple[float, float]], segments: Sequence[TimedText]) -> TimeErrors:
    """The errors of one recording.

    Args:
        references: start and end of each segment, seconds.
        segments: what a runtime wrote.
    """
    written = [segment for segment in segments if segment.text.strip()]
    if not written:
        return TimeErrors([float("inf")] * len(references), [float("inf")] * len(references), 0)
    starts, ends = (np.array([segment[column] for segment in written]) for column in (0, 1))
    outside = [segment for segment in written if not any(start < segment.end and segment.start < end
                                                         for start, end in references)]
    return TimeErrors([float(np.abs(starts - start).min()) for start, _ in references],
                      [float(np.abs(ends - end).min()) for _, end in references],
                      sum(len(segment.text.split()) for segment in outside))
