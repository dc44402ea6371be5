"""Subtitles of recognized segments: cues that fit a screen, as SRT, WebVTT or TSV.

The model writes no timestamps. Where a segment begins and ends is known from voice activity detection. A segment that
is too long for one cue is cut at sentence ends, commas and spaces; its parts share its time by their width.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from utils.score.text_units import split_keeping_space
from utils.transcribe.recognizer import Segment

_MAX_WIDTH = 84  # two lines of 42 letters; a Chinese character is as wide as two
_WIDE = "\u1100"  # from here up
_SENTENCE_ENDS, _PAUSES = tuple(".!?。！？…"), tuple(",;:，、；：")


class Cue(NamedTuple):
    """One subtitle: start and end in seconds, and its text."""

    start: float
    end: float
    text: str


def make_cues(segments: Iterable[Segment], task: str) -> list[Cue]:
    """The cues of one task, in order; a segment without text has none."""
    return [cue for segment in segments if segment.texts[task] for cue in _cues_of(segment, segment.texts[task])]


def _cues_of(segment: Segment, text: str) -> list[Cue]:
    parts = _split(text)
    widths = [_width(part) for part in parts]
    cues, past = [], 0
    for part, width in zip(parts, widths, strict=True):
        start, end = (segment.start + (segment.end - segment.start) * share / sum(widths)
                      for share in (past, past + width))
        cues.append(Cue(start, end, part.strip()))
        past += width
    return cues


def _split(text: str) -> list[str]:
    """A text in parts of at most _MAX_WIDTH, cut at the best place in the last two thirds of each."""
    units = split_keeping_space(text)
    parts: list[str] = []
    while units:
        if _width("".join(units)) <= _MAX_WIDTH:
            return [*parts, "".join(units)]
        fitting, width = 0, 0
        while width + _width(units[fitting]) <= _MAX_WIDTH or not fitting:
            width += _width(units[fitting])
            fitting += 1
        cut = max(range(fitting // 3 + 1, fitting + 1), key=lambda place: (_cut_priority(units[place - 1]), place))
        parts.append("".join(units[:cut]))
        units = units[cut:]
    return parts


def _cut_priority(unit: str) -> int:
    """How suitable the end of a unit is as a place to cut; higher is better."""
    return 2 * unit.strip().endswith(_SENTENCE_ENDS) + unit.strip().endswith(_PAUSES)


def _width(text: str) -> int:
    return max(1, sum(2 if letter >= _WIDE else 1 for letter in text))


def to_srt(cues: Iterable[Cue]) -> str:
    """The cues as a SubRip file."""
    return "\n".join(f"{number}\n{_clock(cue.start, ',')} --> {_clock(cue.end, ',')}\n{cue.text}\n"
                     for number, cue in enumerate(cues, 1))


def to_vtt(cues: Iterable[Cue]) -> str:
    """The cues as a WebVTT file; ``&``, ``<`` and ``>`` are escaped."""
    blocks = (f"{_clock(cue.start, '.')} --> {_clock(cue.end, '.')}\n"
              f"{cue.text.replace('&', '&amp;').replace('<', '&lt;').replace('>', '&gt;')}\n" for cue in cues)
    return "\n".join(["WEBVTT\n", *blocks])


def to_tsv(cues: Iterable[Cue]) -> str:
    """Start and end in milliseconds and the text, as OpenAI's ``whisper`` writes it."""
    lines = (f"{round(1000 * cue.start)}\t{round(1000 * cue.end)}\t{' '.join(cue.text.split())}\n" for cue in cues)
    return "".join(["start\tend\ttext\n", *lines])


def _clock(seconds: float, point: str) -> str:
    milliseconds = round(1000 * seconds)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{milliseconds // 1000:02}{point}{milliseconds % 1000:03}"
