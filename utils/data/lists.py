"""Kaldi-style lists whose lines are ``id|language|task value``: wav.scp, text, feats.scp, hypotheses."""

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
# All but white space, and a carriage return inside a line: with old Macs' line ends a file would be one long line.
_CONTROL = re.compile(r"[\x00-\x08\r\x0e-\x1f\x7f-\x84\x86-\x9f]")
_FORM = "Write id|language|task value, with no space inside the three names"


@dataclass(frozen=True, slots=True)
class UtteranceKey:
    """The parts of a key; ``language`` is Whisper's code, whatever name the key itself has."""

    utterance: str
    language: str
    task: str


class Problem(NamedTuple):
    """One line of a list that cannot be used. ``what`` says what is wrong and what to do."""

    path: str
    line: int
    key: str
    what: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.what}"


@dataclass
class ScannedList:
    """A list's good lines (``items``, in file order) and its bad ones (``problems``)."""

    path: str
    items: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    lines: array[int] = field(default_factory=lambda: array("L"))  # line numbers, parallel to items

    @cached_property
    def line_of(self) -> dict[str, int]:
        """Line number of every key of ``items``; made when asked for, because few lists have problems."""
        return dict(zip(self.items, self.lines, strict=True))


def parse_key(key: str) -> UtteranceKey:
    """The parts of ``id|language|task``.

    Raises:
        ValueError: not three non-empty parts, an unknown language or task; the message has the remedy.
    """
    parts = key.split("|")
    if len(parts) != 3 or not all(parts) or len(key.split()) != 1:
        raise ValueError(f"malformed key {key!r}. {_FORM}")
    utterance, language, task = parts
    return UtteranceKey(utterance, _check_names(language, task), task)


@cache  # a list of a million lines has a handful of these pairs
def _check_names(language: str, task: str) -> str:
    """Whisper's code of ``language``, or a ValueError if either name is unknown."""
    if task not in TASKS:
        nearest = difflib.get_close_matches(task.lower(), TASKS, n=1)
        raise ValueError(f"unknown task {task!r}. "
                         + (f"Did you mean {nearest[0]}?" if nearest else f"Use {' or '.join(TASKS)}"))
    return language_code(language)


def split_line(line: str) -> tuple[str, str]:
    """Key and value of a line in either form; the key in its compact form, its names unchanged.

    The value is stripped of white space at both ends. ``->`` after a key is never part of the value.

    Raises:
        ValueError: the line does not start with ``id|language|task``.
    """
    utterance, language, task, value = _split(line)
    return f"{utterance}|{language}|{task}", value


def _split(line: str) -> tuple[str, str, str, str]:
    """Utterance, language, task and value, or a ValueError."""
    match = _LINE.match(line)
    if match is None:
        raise ValueError(f"malformed key {_best_key(line)!r}. {_FORM}")
    utterance, language, task, value = match.groups()
    return utterance, language, task, value.rstrip()


def _best_key(line: str) -> str:
    """The key of a line that cannot be used, or what is best called so where it has none."""
    if match := _LINE.match(line):
        return "|".join(match.groups()[:3])
    spaced, arrow, _ = line.partition("->")
    return spaced.strip() if arrow else line.split(maxsplit=1)[0]


def _parse_line(line: str, allow_empty: bool, verbatim: bool) -> tuple[str, str]:
    """Key and value of a line that passes every check that needs no other line, or a ValueError."""
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
    """Number, text and encoding error (or None) of every line that is not blank."""
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
    """Read a list, its good lines apart from its bad ones; of a key given twice the first line is good.

    UTF-8 with or without a byte order mark, any line ends; blank lines do not count. White space of any kind
    inside a value becomes one space, as Kaldi's validate_text.pl wants it, unless ``verbatim`` (file names).

    Raises:
        UserError: the file is missing, unreadable, without a single line, or UTF-16.
    """
    scanned = ScannedList(str(path))
    duplicates: list[tuple[int, str]] = []
    for number, line, error in _lines(path):
        try:
            if error:
                raise ValueError(error)
            key, value = _parse_line(line, allow_empty, verbatim)
        except ValueError as bad:
            scanned.problems.append(Problem(scanned.path, number, _best_key(line), str(bad)))
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
    """Lines ``path:line: what. remedy``, at most ``limit`` of each file and a count of the rest."""
    report: list[str] = []
    for path, group in groupby(sorted(problems, key=attrgetter("path", "line")), key=attrgetter("path")):
        of_file = list(group)
        report += map(str, of_file[:limit])
        if len(of_file) > limit:
            report.append(f"{path}: and {len(of_file) - limit} more problems")
    return "\n".join(report)


def read_list(path: str | Path, problem_limit: int = 20, *, allow_empty: bool = False,
              verbatim: bool = False) -> dict[str, str]:
    """The values of a list by key, in file order; see :func:`scan_list` for what is read and how.

    Args:
        path: the list.
        problem_limit: how many problems the error names one by one.
        allow_empty: a key may stand alone on its line (hypothesis files: the decoder may hear nothing).
        verbatim: leave white space inside values as it is (file names).

    Raises:
        UserError: any line is unusable; the message lists all of them as ``path:line: what. remedy``.
    """
    scanned = scan_list(path, allow_empty=allow_empty, verbatim=verbatim)
    if scanned.problems:
        raise UserError(problem_report(scanned.problems, problem_limit))
    return scanned.items


def keys_by_audio(wav_scp: Mapping[str, str]) -> dict[str, list[str]]:
    """Audio file -> its keys, in the order of a wav.scp: the tasks of an utterance share a file."""
    keys_of: dict[str, list[str]] = {}
    for key, source in wav_scp.items():
        keys_of.setdefault(source, []).append(key)
    return keys_of


def join_lists(parts: Iterable[Path], remedy: str, *, allow_empty: bool = False,
               verbatim: bool = False) -> dict[str, str]:
    """The lists that several jobs wrote, as one; a job that had nothing to do has left an empty file.

    Args:
        remedy: end of the message when a list is missing: what to do.
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
    """Write ``key value`` lines sorted on the whole key in C order; the file appears whole or not at all.

    White space inside values becomes single spaces unless ``verbatim``. An empty value leaves the key alone.

    Raises:
        ValueError: a ``verbatim`` value has a line end in it.
    """
    with atomic_open(path) as stream:
        for key in sorted(items):  # code point order is the byte order of UTF-8
            value = items[key] if verbatim else " ".join(items[key].split())
            if "\n" in value:
                raise ValueError(f"{path}: the value of {key} has a line end in it")
            arrow = "-> " if value.startswith("->") else ""  # or it would be read as the other form's
            stream.write(f"{key} {arrow}{value}\n" if value else f"{key}\n")
