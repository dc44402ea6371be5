"""Kaldi's ``segments`` and a ``wav.scp`` of recordings: which part of which recording an utterance is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from utils.data.lists import read_list
from utils.errors import UserError


@dataclass(frozen=True)
class TimeSpan:
    """A line of Kaldi's ``segments``: a part of a recording, in seconds."""

    recording: str
    start: float
    end: float


def read_segments(path: Path) -> dict[str, TimeSpan]:
    """Kaldi's ``segments``: the part of a recording that each key is, in seconds.

    Raises:
        UserError: a line is not ``key recording start end``, or its times are negative or reversed.
    """
    spans = {}
    for number, (key, value) in enumerate(read_list(path).items(), 1):
        fields = value.split()
        try:
            recording, start, end = fields[0], *map(float, fields[1:])
        except (ValueError, IndexError):
            raise UserError(f"{path}:{number}: {key}: expected `key recording start end`, times in seconds") from None
        if not 0 <= start < end:
            raise UserError(f"{path}:{number}: {key}: starts at {start:g} and ends at {end:g} s. Correct the times")
        spans[key] = TimeSpan(recording, start, end)
    return spans


def read_recordings(path: Path) -> dict[str, str]:
    """Paths of recordings by their ids, from a wav.scp whose keys are recordings: ``id path``.

    Raises:
        UserError: the file is missing, or a line has no path or the id of another one.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read: {error}. Check its name and permissions") from None
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        recording, _, audio = line.strip().partition(" ")
        if not audio.strip() or recording in found:
            what = "the id of another line" if recording in found else "no path"
            raise UserError(f"{path}:{number}: {recording}: {what}. Write `recording path`, each recording once")
        found[recording] = audio.strip()
    return found
