"""Kaldi's ``segments`` and a ``wav.scp`` of recordings: which part of which recording an utterance is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from utils.audio.sources import part_source
from utils.data.lists import Problem, ScannedList, problem_report, read_list, scan_list, write_list
from utils.errors import UserError

SEGMENTS = "segments"


@dataclass(frozen=True)
class TimeSpan:
    """A line of Kaldi's ``segments``: a part of a recording, in seconds."""

    recording: str
    start: float
    end: float

    def __str__(self) -> str:
        return f"{self.recording} {self.start:.10g} {self.end:.10g}"


def scan_segments(path: Path) -> tuple[ScannedList, dict[str, TimeSpan]]:
    """The lines of ``segments``, valid ones and problems, and what the valid ones say by key.

    Raises:
        UserError: the file cannot be read or is empty.
    """
    scanned = scan_list(path)
    spans, problems = dict[str, TimeSpan](), scanned.problems
    for key, value in scanned.items.items():
        try:
            spans[key] = _time_span(value)
        except ValueError as error:
            problems.append(Problem(scanned.path, scanned.line_of[key], key, f"{key}: {error}"))
    return scanned.with_values({key: scanned.items[key] for key in spans}, problems), spans


def _time_span(value: str) -> TimeSpan:
    fields = value.split()
    try:
        recording, start, end = fields[0], *map(float, fields[1:])
    except (ValueError, IndexError):
        raise ValueError("expected `key recording start end`, times in seconds") from None
    if not 0 <= start < end < float("inf"):
        raise ValueError(f"starts at {start:g} and ends at {end:g} s. Correct the times")
    return TimeSpan(recording, start, end)


def read_segments(path: Path) -> dict[str, TimeSpan]:
    """Kaldi's ``segments``: the part of a recording that each key is, in seconds.

    Raises:
        UserError: a line is not ``key recording start end``, or its times are negative or reversed.
    """
    scanned, spans = scan_segments(path)
    if scanned.problems:
        raise UserError(problem_report(scanned.problems))
    return spans


def read_sources(wav_scp: Path) -> dict[str, str]:
    """The audio source of each key, in the order of the list.

    If Kaldi's ``segments`` lies beside wav.scp, wav.scp has recordings, and a source is a part of one.

    Raises:
        UserError: a list cannot be read, has a bad line, or a recording is missing.
    """
    segments = wav_scp.with_name(SEGMENTS)
    if not segments.is_file():
        return read_list(wav_scp, verbatim=True)
    recordings = read_recordings(wav_scp)
    spans = read_segments(segments)
    if missing := [key for key, span in spans.items() if span.recording not in recordings]:
        raise UserError(f"{segments}: {missing[0]}: its recording {spans[missing[0]].recording} is not in {wav_scp}. "
                        "Add it there, or correct the name")
    return {key: source_of(span, recordings) for key, span in spans.items()}


def write_segments(directory: Path, recordings: Mapping[str, str], spans: Mapping[str, TimeSpan]) -> None:
    """Write ``segments`` and a ``wav.scp`` of recordings into a directory."""
    write_list(directory / "wav.scp", recordings, verbatim=True)
    write_list(directory / SEGMENTS, {key: str(span) for key, span in spans.items()})


def source_of(span: TimeSpan, recordings: Mapping[str, str]) -> str:
    """The audio source of a segment."""
    return part_source(recordings[span.recording], span.start, span.end)


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
