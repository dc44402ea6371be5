"""Reads a corpus that consists of audio files and tables (csv, tsv, jsonl) with a line for each recording."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from utils.data.corpus_lists import CorpusUtterance, LeftOut
from utils.data.languages import language_code
from utils.errors import UserError

COLUMNS = ("path", "text", "translation", "language", "speaker", "split", "id")
SUFFIXES = (".csv", ".tsv", ".jsonl")
TEST_SHARE, DEV_SHARE = 0.1, 0.1
_SETS = {"train": "train", "dev": "dev", "valid": "dev", "validation": "dev", "val": "dev", "test": "test"}


@dataclass(frozen=True)
class TableRow:
    """A row of the table: its place ``where`` (file:line), and its columns that are not empty, stripped."""

    where: str
    columns: dict[str, str]


def find_tables(directory: Path) -> list[Path]:
    """Return the tables in a directory, sorted by name.

    Raises:
        UserError: there is none.
    """
    tables = sorted(path for path in directory.glob("*") if path.suffix.lower() in SUFFIXES)
    if not tables:
        raise UserError(f"{directory}: no table (csv, tsv or jsonl): put or link your folder of audio there, with a "
                        "table in it")
    return tables


def read_table(path: Path) -> list[TableRow]:
    """Return the rows of a table. Columns that are not in ``COLUMNS`` are ignored.

    Rows of a table named after a split (``dev.csv``) belong to that split. The csv module reads quotes, and line breaks
    inside quotes. A byte order mark is removed. A csv file may have ``;`` or tabs between its columns, as some
    spreadsheets write it.

    Raises:
        UserError: the table is missing, empty, not UTF-8 or lacks columns, or a line is not a JSON object.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            lines = _json_lines(path, stream) if path.suffix.lower() == ".jsonl" else _csv_lines(path, stream)
            split = {"split": path.stem} if path.stem.lower() in _SETS else {}
            rows = [TableRow(f"{path}:{number}", split | {name: columns[name] for name in COLUMNS if columns.get(name)})
                    for number, columns in lines]
    except FileNotFoundError:
        raise UserError(f"{path} is missing") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 ({error.reason} at byte {error.start}). Save it as UTF-8") from None
    if not rows:
        raise UserError(f"{path}: has no rows")
    return rows


def _csv_lines(path: Path, stream: Iterator[str]) -> Iterator[tuple[int, dict[str, str]]]:
    header = next(stream, "")
    delimiter = max("\t;,", key=header.count)
    names = [name.strip().lower() for name in next(csv.reader([header], delimiter=delimiter), [])]
    if "path" not in names or not {"text", "translation"} & set(names):
        raise UserError(f"{path}:1: its columns are {', '.join(names) or 'none'}. Name them: path, and text or "
                        f"translation or both; {', '.join(COLUMNS[3:])} if you have them")
    reader = csv.reader(stream, delimiter=delimiter, strict=True)
    try:
        for values in reader:
            if len(values) > len(names):
                raise UserError(f"{path}:{reader.line_num + 1}: {len(values)} columns, the header has {len(names)}. "
                                'Put a text with a delimiter in it into "quotes"')
            if values:
                yield reader.line_num + 1, {name: value.strip() for name, value in zip(names, values, strict=False)}
    except csv.Error as error:
        raise UserError(f'{path}:{reader.line_num + 1}: {error}. Write "" for a quote inside a quoted text') from None


def _json_lines(path: Path, stream: Iterator[str]) -> Iterator[tuple[int, dict[str, str]]]:
    for number, line in enumerate(stream, start=1):
        if not line.strip():
            continue
        try:
            columns = json.loads(line)
        except ValueError as error:
            raise UserError(f"{path}:{number}: no JSON: {error}") from None
        if not isinstance(columns, dict) or not isinstance(columns.get("path"), str):
            raise UserError(f'{path}:{number}: write an object with a path in each line: {{"path": "a.wav", ...}}')
        yield number, {name.lower(): str(value).strip() for name, value in columns.items() if value is not None}


def table_utterances(rows: Sequence[TableRow], audio_dir: Path, language: str,
                     left_out: list[LeftOut]) -> list[CorpusUtterance]:
    """Return the utterances of a table; rows that cannot be used are added to ``left_out``.

    Args:
        audio_dir: relative paths in the table start here.
        language: name or code for rows without a language; may be empty if all rows have one.

    Raises:
        UserError: a row has no language, a language that Whisper does not know, or an unknown split.
    """
    utterances = []
    for row in rows:
        get = row.columns.get
        audio = _find_audio(audio_dir, get("path", ""))
        targets = {task: get(name, "") for task, name in (("transcribe", "text"), ("translate", "translation"))}
        code = _language(row, language)
        if code == "en" and targets.pop("translate"):
            left_out.append(LeftOut(row.where, "translation: the speech is English already"))
        targets = {task: text for task, text in targets.items() if text}
        if audio is None or not targets:
            left_out.append(LeftOut(row.where, "no text" if audio else f"no audio: {get('path', '')}"))
            continue
        speaker = "_".join(get("speaker", "").replace("|", "_").split())
        id_ = get("id") or str(Path(get("path", "")).with_suffix(""))
        id_ = re.sub(r"[^\w.-]+", "_", id_).strip("_")
        id_ = f"{speaker}-{id_}" if speaker else id_
        utterances.append(CorpusUtterance(_set_of(row), id_, code, audio, targets, speaker))
    return utterances


def _find_audio(directory: Path, name: str) -> Path | None:
    """The audio file of a row, or None; the path may have backslashes."""
    candidates = (directory / name, directory / name.replace("\\", "/"))
    return next((path for path in candidates if path.is_file()), None)


def _language(row: TableRow, default: str) -> str:
    try:
        return language_code(row.columns.get("language", default))
    except ValueError as error:
        if not (row.columns.get("language") or default):
            raise UserError(f"{row.where}: no language. Add a column language, or use --language") from None
        raise UserError(f"{row.where}: {error}") from None


def _set_of(row: TableRow) -> str:
    """The row's split; without one, a hash of its speaker or else of its path decides, the same on every machine."""
    if split := row.columns.get("split"):
        if split.lower() not in _SETS:
            raise UserError(f"{row.where}: unknown split {split!r}. Use one of: {', '.join(_SETS)}")
        return _SETS[split.lower()]
    of = row.columns.get("speaker") or row.columns.get("path", "")
    share = int.from_bytes(hashlib.sha256(of.encode()).digest()[:8], "big") / 2**64
    return "test" if share < TEST_SHARE else "dev" if share < TEST_SHARE + DEV_SHARE else "train"
