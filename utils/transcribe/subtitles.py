"""Subtitles of recognized segments: cues that fit a screen, as SRT, WebVTT or TSV.

Where a segment begins and ends is known from voice activity detection. A segment that is too long for one cue is cut at
sentence ends, commas and spaces. A part begins where its first word does, if times of words are known; else parts share
the segment's time by their width. A cue has one line or two, of 42 letters each where words allow it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from utils.score.text_units import split_keeping_space
from utils.transcribe.details import Word
from utils.transcribe.recognizer import Segment

_LINE_WIDTH = 42  # letters; a Chinese character is as wide as two
_MAX_WIDTH = 2 * _LINE_WIDTH
_WIDE = "\u1100"  # from here up
_SENTENCE_ENDS, _PAUSES = tuple(".!?。！？…"), tuple(",;:，、；：")


class Cue(NamedTuple):
    """One subtitle: start and end in seconds, its text in one line or two, and whose it is."""

    start: float
    end: float
    text: str
    speaker: str = ""


def make_cues(segments: Iterable[Segment], task: str) -> list[Cue]:
    """The cues of one task, in order; a segment without text has none."""
    return [cue for segment in segments if segment.texts[task] for cue in _cues_of(segment, task)]


def _cues_of(segment: Segment, task: str) -> list[Cue]:
    parts = _split(segment.texts[task])
    details = segment.details.get(task)
    places = _starts_by_words(segment, parts, details.words) if details else []
    places = places or _starts_by_width(segment, parts)
    return [Cue(start, end, _in_lines(part.strip()), segment.speaker)
            for part, (start, end) in zip(parts, pairwise([*places, segment.end]), strict=True)]


def _starts_by_width(segment: Segment, parts: Sequence[str]) -> list[float]:
    widths = [_width(part) for part in parts]
    length = segment.end - segment.start
    return [segment.start + length * sum(widths[:number]) / sum(widths) for number in range(len(parts))]


def _starts_by_words(segment: Segment, parts: Sequence[str], words: Sequence[Word]) -> list[float]:
    """Where each part begins; empty if the words are not those of the text, or their times are in no order."""
    starts_at, place = dict[int, float](), 0  # by the letters before a word, without white space
    for word in words:
        starts_at[place] = word.start
        place += len("".join(word.text.split()))
    lengths = [len("".join(part.split())) for part in parts]
    before = [sum(lengths[:number]) for number in range(len(parts))]
    if place != sum(lengths) or any(letters not in starts_at for letters in before):
        return []
    starts = [segment.start, *(starts_at[letters] for letters in before[1:])]
    return starts if all(one < other for one, other in pairwise([*starts, segment.end])) else []


def _in_lines(text: str) -> str:
    """A cue's text in one line, or in two of about the same width, cut at the end of a phrase where there is one."""
    if _width(text) <= _LINE_WIDTH:
        return text
    units = split_keeping_space(text)

    def badness(place: int) -> tuple[bool, int]:
        above, below = (_width("".join(half).strip()) for half in (units[:place], units[place:]))
        phrase_end = _LINE_WIDTH // 4 * (_cut_priority(units[place - 1]) > 0)
        return max(above, below) > _LINE_WIDTH, abs(above - below) - phrase_end

    if len(units) < 2:
        return text
    cut = min(range(1, len(units)), key=badness)
    return "".join(units[:cut]).strip() + "\n" + "".join(units[cut:]).strip()


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
    return "\n".join(f"{number}\n{_clock(cue.start, ',')} --> {_clock(cue.end, ',')}\n{_named(cue)}\n"
                     for number, cue in enumerate(cues, 1))


def to_vtt(cues: Iterable[Cue]) -> str:
    """The cues as a WebVTT file; ``&``, ``<`` and ``>`` are escaped."""
    blocks = (f"{_clock(cue.start, '.')} --> {_clock(cue.end, '.')}\n" + (f"<v {cue.speaker}>" if cue.speaker else "") +
              f"{cue.text.replace('&', '&amp;').replace('<', '&lt;').replace('>', '&gt;')}\n" for cue in cues)
    return "\n".join(["WEBVTT\n", *blocks])


def to_tsv(cues: Iterable[Cue]) -> str:
    """Start and end in milliseconds and the text, as OpenAI's ``whisper`` writes it; the speaker, if there is one."""
    cues = list(cues)
    speakers = any(cue.speaker for cue in cues)
    rows = [["start", "end", *(["speaker"] if speakers else []), "text"]]
    rows += [[str(round(1000 * cue.start)), str(round(1000 * cue.end)), *([cue.speaker] if speakers else []),
              " ".join(cue.text.split())] for cue in cues]
    return "".join("\t".join(row) + "\n" for row in rows)


def _named(cue: Cue) -> str:
    return f"{cue.speaker}: {cue.text}" if cue.speaker else cue.text


def _clock(seconds: float, point: str) -> str:
    milliseconds = round(1000 * seconds)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{milliseconds // 1000:02}{point}{milliseconds % 1000:03}"
