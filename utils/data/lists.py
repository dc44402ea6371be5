"""Reads and writes Kaldi-style lists with lines ``id|language|task value``: wav.scp, text, feats.scp, hypotheses."""

from __future__ import annotations

import codecs
import difflib
import re
from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from utils.data.languages import language_code
from utils.errors import UserError
from utils.filesystem import atomic_open

TASKS = ("transcribe", "translate")

# Both `id|language|task value` and the parent project's `id | language | task -> value`.
_LINE = re.compile(r"\s*([^\s|]+)\s*\|\s*([^\s|]+)\s*\|\s*([^\s|]+?)(?:\s*->\s*|\s+|$)(.*)", re.DOTALL)
# Control characters but white space, and a carriage return inside a line, from a file with old Macs' line ends.
_CONTROL = re.compile(r"[\x00-\x08\r\x0e-\x1f\x7f-\x84\x86-\x9f]")
_FORM = "Write id|language|task value, with no space inside the three names"


@dataclass(frozen=True, slots=True)
class UtteranceKey:
    """The parts of a key; ``language`` is Whisper's code, even if the key has the language's name."""

    utterance: str
    language: str
    task: str


class Problem(NamedTuple):
    """A line of a list that cannot be used. ``what`` says what is wrong and what to do."""

    path: str
    line: int
    key: str
    what: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.what}"


@dataclass
class ScannedList:
    """A list's valid lines (``items``, in file order) and its invalid ones (``problems``)."""

    path: str
    items: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    lines: array[int] = field(default_factory=lambda: array("L"))  # line numbers, parallel to items

    @cached_property
    def line_of(self) -> dict[str, int]:
        """Line number by key of ``items``; computed when needed, because few lists have problems."""
        return dict(zip(self.items, self.lines, strict=True))

    def with_values(self, values: Mapping[str, str], problems: list[Problem]) -> ScannedList:
        """The lines whose keys are in ``values``, with these values, and other problems."""
        kept = ScannedList(self.path, problems=problems)
        for key, line in zip(self.items, self.lines, strict=True):
            if key in values:
                kept.items[key] = values[key]
                kept.lines.append(line)
        return kept


def parse_key(key: str) -> UtteranceKey:
    """Return the parts of a key ``id|language|task``.

    Raises:
        ValueError: the key has not three non-empty parts, or an unknown language or task; the message has the remedy.
    """
    parts = key.split("|")
    if len(parts) != 3 or not all(parts) or len(key.split()) != 1:
        raise ValueError(f"malformed key {key!r}. {_FORM}")
    utterance, language, task = parts
    return UtteranceKey(utterance, _check_names(language, task), task)


@cache  # a list of a million lines has only a few such pairs
def _check_names(language: str, task: str) -> str:
    """Whisper's code of ``language``; a ValueError if the language or the task is unknown."""
    if task not in TASKS:
        nearest = difflib.get_close_matches(task.lower(), TASKS, n=1)
        raise ValueError(f"unknown task {task!r}. "
                         + (f"Did you mean {nearest[0]}?" if nearest else f"Use {' or '.join(TASKS)}"))
    return language_code(language)


def split_line(line: str) -> tuple[str, str]:
    """Return key and value of a line in either form; the key as ``id|language|task``, its names unchanged.

    The value is stripped of white space at both ends. ``->`` after a key is never part of the value.

    Raises:
        ValueError: the line does not start with ``id|language|task``.
    """
    utterance, language, task, value = _split(line)
    return f"{utterance}|{language}|{task}", value


def _split(line: str) -> tuple[str, str, str, str]:
    """Utterance, language, task and value of a line; a ValueError for a malformed key."""
    match = _LINE.match(line)
    if match is None:
        raise ValueError(f"malformed key {_likely_key(line)!r}. {_FORM}")
    utterance, language, task, value = match.groups()
    return utterance, language, task, value.rstrip()


def _likely_key(line: str) -> str:
    """The key of an invalid line; for a malformed key, the text up to ``->`` or the first word."""
    if match := _LINE.match(line):
        return "|".join(match.groups()[:3])
    spaced, arrow, _ = line.partition("->")
    return spaced.strip() if arrow else line.split(maxsplit=1)[0]


def _parse_line(line: str, allow_empty: bool, verbatim: bool) -> tuple[str, str]:
    """Key and value of a line; a ValueError if it fails a check that needs no other line."""
    if not line.isprintable() and (control := _CONTROL.search(line)):
        place = f"U+{ord(control[0]):04X} at column {control.start() + 1}"
        raise ValueError(f"control character {place}. Delete it")
    utterance, language, task, value = _split(line)
    _check_names(language, task)
    key = f"{utterance}|{language}|{task}"
    if not key.isprintable():  # a byte order mark, a zero-width space
        unseen = next(char for char in key if not char.isprintable())
        raise ValueError(f"invisible character U+{ord(unseen):04X} in the key {key!r}. Delete it")
    if not value and not allow_empty:
        raise ValueError(f"nothing after key {key}. Add the value or delete the line")
    return key, value if verbatim else " ".join(value.split())


def _lines(path: str | Path) -> Iterator[tuple[int, str, str | None]]:
    """Yield number, text and encoding error (or None) of every line that is not blank."""
    try:
        with Path(path).open("rb") as stream:
            for number, raw in enumerate(stream, 1):
                if number == 1 and raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                    raise UserError(f"{path}:1: not UTF-8 but UTF-16. Convert it: iconv -f utf-16 -t utf-8")
                try:
                    line, error = raw.decode("utf-8-sig" if number == 1 else "utf-8"), None
                except UnicodeDecodeError as bad:
                    line = raw.decode("utf-8", errors="replace")
                    error = (f"not UTF-8: byte 0x{raw[bad.start]:02x} at byte {bad.start + 1} of the line. "
                             "Convert the file, for example: iconv -f latin1 -t utf-8")
                line = line.rstrip("\r\n")
                if line and not line.isspace():
                    yield number, line, error
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}. Check its name and permissions") from None


def scan_list(path: str | Path, *, allow_empty: bool = False, verbatim: bool = False) -> ScannedList:
    """Read a list and separate valid lines from invalid ones. If a key occurs twice, only its first line is valid.

    The file is UTF-8, with or without a byte order mark, with any line ends; blank lines are ignored. White space
    inside a value becomes one space, as Kaldi's validate_text.pl requires, unless ``verbatim`` (file names).

    Raises:
        UserError: the file is missing, unreadable, empty or UTF-16.
    """
    scanned = ScannedList(str(path))
    duplicates: list[tuple[int, str]] = []
    for number, line, error in _lines(path):
        try:
            if error:
                raise ValueError(error)
            key, value = _parse_line(line, allow_empty, verbatim)
        except ValueError as bad:
            scanned.problems.append(Problem(scanned.path, number, _likely_key(line), str(bad)))
            continue
        if key in scanned.items:
            duplicates.append((number, key))
        else:
            scanned.items[key] = value
            scanned.lines.append(number)
    scanned.problems += [Problem(scanned.path, number, key, f"duplicate key {key}, first on line "
                                 f"{scanned.line_of[key]}. Keep one of them") for number, key in duplicates]
    scanned.problems.sort(key=attrgetter("line"))
    if not scanned.items and not scanned.problems:
        raise UserError(f"{path}: the list is empty. Write one line `id|language|task value` per utterance")
    return scanned


def problem_report(problems: Iterable[Problem], limit: int = 20) -> str:
    """Return lines ``path:line: what. remedy``, at most ``limit`` for each file, and the count of the others."""
    report: list[str] = []
    for path, group in groupby(sorted(problems, key=attrgetter("path", "line")), key=attrgetter("path")):
        of_file = list(group)
        report += map(str, of_file[:limit])
        if len(of_file) > limit:
            report.append(f"{path}: and {len(of_file) - limit} more problems")
    return "\n".join(report)


def read_list(path: str | Path, problem_limit: int = 20, *, allow_empty: bool = False,
              verbatim: bool = False) -> dict[str, str]:
    """Return the values of a list by key, in file order; :func:`scan_list` describes the format.

    Args:
        path: the list.
        problem_limit: how many problems of a file the error names.
        allow_empty: allow keys without a value (hypotheses can be empty).
        verbatim: keep white space inside values (file names).

    Raises:
        UserError: a line is invalid; the message lists all such lines as ``path:line: what. remedy``.
    """
    scanned = scan_list(path, allow_empty=allow_empty, verbatim=verbatim)
    if scanned.problems:
        raise UserError(problem_report(scanned.problems, problem_limit))
    return scanned.items


def keys_by_audio(wav_scp: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the keys by audio file, in the order of a wav.scp: the tasks of an utterance share a file."""
    keys_of: dict[str, list[str]] = {}
    for key, source in wav_scp.items():
        keys_of.setdefault(source, []).append(key)
    return keys_of


def join_lists(parts: Iterable[Path], remedy: str, *, allow_empty: bool = False,
               verbatim: bool = False) -> dict[str, str]:
    """Join the lists that several jobs wrote; the file of a job without utterances is empty.

    Args:
        remedy: what to do if a list is missing; the end of the error message.
        allow_empty, verbatim: see :func:`read_list`.

    Raises:
        UserError: a list is missing or damaged.
    """
    joined: dict[str, str] = {}
    for path in parts:
        if not path.is_file():
            raise UserError(f"{path}: is missing, its job did not end well; {remedy}")
        if path.stat().st_size:
            joined |= read_list(path, allow_empty=allow_empty, verbatim=verbatim)
    return joined


def write_list(path: str | Path, items: Mapping[str, str], *, verbatim: bool = False) -> None:
    """Write lines ``key value``, sorted by key in C order, atomically.

    White space inside values becomes single spaces unless ``verbatim``. With an empty value, the line is only the key.

    Raises:
        ValueError: ``verbatim`` is set and a value has a line end in it.
    """
    with atomic_open(path) as stream:
        for key in sorted(items):  # code point order is the byte order of UTF-8
            value = items[key] if verbatim else " ".join(items[key].split())
            if "\n" in value:
                raise ValueError(f"{path}: the value of {key} has a line end in it")
            arrow = "-> " if value.startswith("->") else ""  # otherwise the value's arrow would belong to the key
            stream.write(f"{key} {arrow}{value}\n" if value else f"{key}\n")
