"""The recordings that a command line names: files, folders, Kaldi lists and standard input, each recording once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from utils.audio.ffmpeg_audio import open_container
from utils.cli import log
from utils.data.lists import parse_key, split_line
from utils.errors import UserError

STDIN = "-"
# A file with such a name is transcribed, or its fault is named; others are if FFmpeg finds audio in them.
_SUFFIXES = {".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".m4a", ".mp4", ".aac", ".webm", ".mkv", ".mov", ".wma",
             ".g722", ".sph", ".aiff", ".aif", ".au", ".amr", ".3gp"}
_NAMED = 8  # files without audio that a message names


@dataclass(frozen=True)
class Recording:
    """One recording: its name, which outputs get, its file or wav.scp value, and its language if the list has it."""

    name: str
    source: str
    language: str | None = None


def find_recordings(arguments: Iterable[str]) -> list[Recording]:
    """All recordings in the given files, folders (searched recursively), lists (``*.scp``) and ``-``.

    A list's lines are ``utterance file``, or ``id|language|task file`` as the recipe's own have it.

    Raises:
        UserError: a folder or list is empty or cannot be read, or the outputs of two recordings would have one name.
    """
    found: dict[Recording, None] = {}  # a set that keeps the order: the tasks of an utterance share a file
    for argument in arguments:
        found |= dict.fromkeys(_expand(argument))
    names: dict[str, str] = {}
    for recording in found:
        other = names.setdefault(recording.name, recording.source)
        if other != recording.source:
            raise UserError(f"{other} and {recording.source} would both be written as {recording.name}; "
                            "transcribe them one after the other, with another --output-dir")
    return list(found)


def _expand(argument: str) -> Iterator[Recording]:
    path = Path(argument)
    if argument == STDIN:
        yield Recording("stdin", STDIN)
    elif path.is_dir():
        yield from _in_folder(path)
    elif path.suffix == ".scp":
        yield from _read_scp(path)
    else:
        yield Recording(path.stem, argument)


def _in_folder(folder: Path) -> Iterator[Recording]:
    """The recordings below a folder; files without audio are named. Hidden files are passed over."""
    files = sorted(file for file in folder.rglob("*") if file.is_file()
                   and not any(part.startswith(".") for part in file.relative_to(folder).parts))
    with_audio = {file: file.relative_to(folder).with_suffix("").as_posix() for file in files
                  if file.suffix.lower() in _SUFFIXES or _has_audio(file)}
    if without := [str(file.relative_to(folder)) for file in files if file not in with_audio]:
        more = f" and {len(without) - _NAMED} more" if len(without) > _NAMED else ""
        log(f"{folder}: left out, no audio in them: {', '.join(without[:_NAMED])}{more}")
    if not with_audio:
        raise UserError(f"{folder}: no audio files in this folder")
    counts = Counter(with_audio.values())
    for file, name in with_audio.items():
        yield Recording(name if counts[name] == 1 else file.relative_to(folder).as_posix(), str(file))


def _has_audio(file: Path) -> bool:
    """Whether FFmpeg finds an audio track in a file."""
    try:
        with file.open("rb") as stream, open_container(stream, str(file)) as container:
            return bool(container.streams.audio)
    except (OSError, UserError):
        return False


def _read_scp(path: Path) -> Iterator[Recording]:
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from None
    if not any(map(str.strip, lines)):
        raise UserError(f"{path}: the list is empty. Write one line `utterance file` per recording")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            recording = _parse_line(line)
        except ValueError as error:
            raise UserError(f"{path}:{number}: {error}") from None
        if Path(recording.name).is_absolute() or ".." in Path(recording.name).parts:
            raise UserError(f"{path}:{number}: {recording.name} would be written outside --output-dir; rename it")
        yield recording


def _parse_line(line: str) -> Recording:
    first, *rest = line.split(maxsplit=1)
    try:
        key, source = split_line(line)
    except ValueError:
        if "|" in first:
            raise
        name, source, language = first, "".join(rest).strip(), None
    else:
        parsed = parse_key(key)
        name, language = parsed.utterance, parsed.language
    if not source:
        raise ValueError(f"no file after {name}. Add it or delete the line")
    return Recording(name, source, language)
