"""Recordings with subtitles beside them: talk.mp4 with talk.fr.srt (what is said) and talk.en.srt (its translation)."""

from __future__ import annotations

import html
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from utils.data.corpus_lists import LeftOut
from utils.data.languages import language_code
from utils.errors import UserError
from utils.importing.found import Entry, Found, ImportOptions

if TYPE_CHECKING:
    from pysubs2 import SSAFile

_SUBTITLES = (".srt", ".vtt", ".ass", ".ssa", ".sbv")
_NO_AUDIO = {*_SUBTITLES, ".txt", ".json", ".jsonl", ".tsv", ".csv", ".md", ".xml", ".html", ".jpg", ".png", ".pdf"}
_SAME_SECONDS = 0.1  # cues of two languages that differ by less are of the same speech
_OVERLAP_SECONDS = 0.1  # cues that overlap by less follow each other; their end is the next one's start


class _Cue(NamedTuple):
    where: str
    start: float  # seconds
    end: float
    text: str


def read_subtitles(source: str, options: ImportOptions) -> Iterator[Entry]:
    """Yield a segment for each cue of the subtitles below a folder.

    The language stands in the file's name, ``talk.fr.srt``; without it, it is ``options.language``. English ones
    beside those of another language are its translation.

    Raises:
        UserError: there are none, one cannot be read, or it is not clear what is spoken.
    """
    files = sorted(path for path in Path(source).rglob("*") if path.suffix.lower() in _SUBTITLES)
    if not files:
        raise UserError(f"{source}: no subtitles ({', '.join(_SUBTITLES)}) in this folder")
    by_recording: dict[Path, dict[str, Path]] = {}
    for file in files:
        stem, language = _name(file)
        recording = _recording(file.parent, stem)
        if recording is None:
            yield LeftOut(str(file), f"no recording {stem}.* beside it")
        elif language in (known := by_recording.setdefault(recording, {})):
            yield LeftOut(str(file), f"the same language as {known[language].name}")
        else:
            known[language] = file
    for recording, of_language in by_recording.items():
        yield from _entries(recording, of_language, options)


def _name(file: Path) -> tuple[str, str]:
    """The recording's name and the language's code of ``talk.fr.srt``; "" if there is none."""
    stem, dot, last = file.stem.rpartition(".")
    if dot:
        try:
            return stem, language_code(last)
        except ValueError:
            pass
    return file.stem, ""


def _recording(folder: Path, stem: str) -> Path | None:
    found = [path for path in sorted(folder.iterdir()) if path.is_file() and path.stem == stem
             and path.suffix.lower() not in _NO_AUDIO]
    if len(found) > 1:
        raise UserError(f"{found[0]} and {found[1].name}: subtitles may be of either. Move one away")
    return found[0] if found else None


def _entries(recording: Path, files: dict[str, Path], options: ImportOptions) -> Iterator[Entry]:
    given = language_code(options.language) if options.language else ""
    files = {language or given: file for language, file in files.items()}
    others = [language for language in files if language not in ("en", given)]
    if len(others) > 1 and given not in files:
        raise UserError(f"{recording}: subtitles in {' and '.join(others)}. Say what is spoken: --language {others[0]}")
    spoken = others[0] if others and given not in files else given or next(iter(files))
    for language in others:
        if language != spoken:
            yield LeftOut(str(files[language]), f"a translation into another language than English: {language}")
    said = list(_cues(files[spoken])) if spoken in files else []
    translated = list(_cues(files["en"])) if "en" in files and spoken != "en" else []
    for cue in said:
        if isinstance(cue, LeftOut):
            yield cue
            continue
        same = next((other for other in translated if isinstance(other, _Cue) and _agree(cue, other)), None)
        targets = {"transcribe": cue.text}
        if same:
            translated.remove(same)
            targets["translate"] = same.text
        yield Found(cue.where, spoken, targets, str(recording), start=cue.start, end=cue.end)
    for cue in translated:
        yield cue if isinstance(cue, LeftOut) else Found(
            cue.where, spoken, {"translate": cue.text}, str(recording), start=cue.start, end=cue.end)


def _agree(cue: _Cue, other: _Cue) -> bool:
    return max(abs(other.start - cue.start), abs(other.end - cue.end)) < _SAME_SECONDS


def _cues(file: Path) -> Iterator[_Cue | LeftOut]:
    """The cues of a file in its order; those that cannot be used with their line and the reason."""
    subtitles, lines = _read(file)
    latest = 0.0
    events = [event for event in subtitles.events if not event.is_comment]
    for number, event in enumerate(events):
        where = f"{file}:{lines[number]}" if len(lines) == len(events) else f"{file}, cue {number + 1}"
        start, end, text = event.start / 1000, event.end / 1000, " ".join(html.unescape(event.plaintext).split())
        following = next((other.start / 1000 for other in events[number + 1:number + 2]), end)
        if 0 < end - following < _OVERLAP_SECONDS and following > start:
            end = following
        reason = ("no text" if not any(map(str.isalnum, text)) else
                  f"starts at {start:g} and ends at {end:g} s" if start >= end else
                  f"starts at {start:g} s, before the end of another one" if start < latest else "")
        latest = max(latest, end)
        yield LeftOut(where, reason, text=text) if reason else _Cue(where, start, end, text)


def _read(file: Path) -> tuple[SSAFile, list[int]]:
    """The subtitles, and the numbers of the lines that have times."""
    try:
        import pysubs2
    except ImportError:
        raise UserError("--from subtitles needs a package: pip install -r tools/requirements-import.txt") from None
    try:
        content = file.read_bytes().decode("utf-8-sig")
        found = pysubs2.SSAFile.from_string(content)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: cannot be read as UTF-8: {error}. Save it so") from None
    except Exception as error:  # pysubs2 has errors of its own and those of parsing
        raise UserError(f"{file}: no subtitles that pysubs2 can read: {error}") from None
    if not found.events:
        raise UserError(f"{file}: has no cue. Replace or remove it")
    return found, [number for number, line in enumerate(content.splitlines(), 1) if "-->" in line]
