"""Reads a corpus that is audio files and tables (csv, tsv, jsonl) with a line for each recording or segment."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence
from pathlib import Path, PureWindowsPath

from utils.data.corpus_lists import CorpusUtterance, LeftOut, make_utterance_id
from utils.data.languages import language_code
from utils.data.tables import TableForm, TableRow
from utils.errors import UserError

TASK_COLUMNS = {"transcribe": "text", "translate": "translation"}
FORM = TableForm("path", tuple(TASK_COLUMNS.values()),
                 ("language", "speaker", "split", "id", "start", "end", "offset", "duration", "channel"))
TEST_SHARE, DEV_SHARE = 0.1, 0.1
_SETS = {"train": "train", "dev": "dev", "valid": "dev", "validation": "dev", "val": "dev", "test": "test"}


def table_utterances(rows: Sequence[TableRow], audio_dir: Path, language: str,
                     left_out: list[LeftOut]) -> list[CorpusUtterance]:
    """Return the utterances of a table; rows that cannot be used are added to ``left_out``.

    Args:
        rows: columns of ``FORM``. Rows of a table named after a split (``dev.csv``) belong to that split. ``start`` and
            ``end``, or ``offset`` and ``duration``, in seconds, name a part of the recording ``path``.
        audio_dir: relative paths in the table start here.
        language: name or code for rows without a language; may be empty if all rows have one.

    Raises:
        UserError: a row has no language, a language that Whisper does not know, an unknown split, times that are no
            numbers, a channel, or the id of another row.
    """
    utterances, seen = [], dict[tuple[str, str, str], str]()
    for row in rows:
        get = row.columns.get
        _refuse_channel(row)
        audio = find_audio(audio_dir, get("path", ""))
        targets = {task: get(name, "") for task, name in TASK_COLUMNS.items()}
        code = _language(row, language)
        if code == "en" and targets.pop("translate"):
            left_out.append(LeftOut(row.where, "translation: the speech is English already"))
        targets = {task: text for task, text in targets.items() if text}
        start, end = time_span(row)
        reason = (f"no audio: {get('path', '')}" if audio is None else "no text" if not targets else
                  f"starts at {start:g} and ends at {end:g} s" if start is not None and end is not None
                  and not 0 <= start < end < float("inf") else "")
        if audio is None or reason:
            left_out.append(LeftOut(row.where, reason))
            continue
        speaker = "_".join(get("speaker", "").replace("|", "_").split())
        id_ = make_utterance_id(get("id", ""), speaker) if get("id") else \
            make_utterance_id(str(Path(get("path", "")).with_suffix("")), speaker, start, end)
        utterance = CorpusUtterance(_set_of(row), id_, code, audio, targets, speaker, start, end)
        if (first := seen.setdefault((utterance.set, utterance.id, code), row.where)) != row.where:
            raise UserError(f"{row.where}: its id {utterance.id} is that of {first}. Give one of them another id, or "
                            "delete it")
        utterances.append(utterance)
    return utterances


def time_span(row: TableRow) -> tuple[float, float] | tuple[None, None]:
    """Start and end (seconds) of the part of a recording that a row is; None if it is the whole.

    ``duration`` alone is the length of the file, which is not needed.

    Raises:
        UserError: a time is no number, or a start has no end, or the other way round.
    """
    times: dict[str, float] = {}
    for name in ("start", "end", "offset", "duration"):
        if value := row.columns.get(name):
            try:
                times[name] = float(value)
            except ValueError:
                raise UserError(f"{row.where}: the {name} is {value!r}, not a number. Write seconds, such as "
                                "12.5") from None
    if not times.keys() - {"duration"}:
        return None, None
    if {"start", "offset"} <= times.keys() or {"end", "duration"} <= times.keys() - {"offset"}:
        raise UserError(f"{row.where}: has {', '.join(times)}. Write start and end, or offset and duration")
    start = times.get("start", times.get("offset"))
    end = times["end"] if "end" in times else start + times["duration"] if start is not None and "duration" in times \
        else None
    if start is None or end is None:
        raise UserError(f"{row.where}: has {', '.join(times)} alone. Write start and end, or offset and duration")
    return start, end


def _refuse_channel(row: TableRow) -> None:
    if (channel := row.columns.get("channel")) and channel not in ("0", "0.0"):
        raise UserError(f"{row.where}: channel {channel}: channels are not chosen, they are averaged. Write each "
                        "channel into a file of its own (ffmpeg -i in.wav -map_channel 0.0.1 out.wav), or delete the "
                        "column if the files have one channel")


def find_audio(directory: Path, name: str) -> Path | None:
    """The audio file that a table names, or None.

    The path may have backslashes, start at a drive of another machine, or have its accents composed in another way
    (macOS decomposes them in names of files).
    """
    windows = PureWindowsPath(name)
    names = [name, name.replace("\\", "/")]
    if windows.drive:
        names += ["/".join(windows.parts[first:]) for first in range(1, len(windows.parts))]
    forms = dict.fromkeys(form for name in names for form in (name, unicodedata.normalize("NFC", name),
                                                              unicodedata.normalize("NFD", name)))
    return next((path for form in forms if (path := directory / form).is_file()), None)


def _language(row: TableRow, default: str) -> str:
    try:
        return language_code(row.columns.get("language", default))
    except ValueError as error:
        if not (row.columns.get("language") or default):
            raise UserError(f"{row.where}: no language. Add a column language, or use --language") from None
        raise UserError(f"{row.where}: {error}") from None


def _set_of(row: TableRow) -> str:
    """The row's split, or that of the table's name; without one, a hash of its speaker or else of its path decides, the
    same on every machine.
    """
    if split := row.columns.get("split"):
        if split.lower() not in _SETS:
            raise UserError(f"{row.where}: unknown split {split!r}. Use one of: {', '.join(_SETS)}")
        return _SETS[split.lower()]
    if of_table := _SETS.get(Path(row.where.rpartition(":")[0]).stem.lower()):
        return of_table
    of = row.columns.get("speaker") or row.columns.get("path", "")
    share = int.from_bytes(hashlib.sha256(of.encode()).digest()[:8], "big") / 2**64
    return "test" if share < TEST_SHARE else "dev" if share < TEST_SHARE + DEV_SHARE else "train"
