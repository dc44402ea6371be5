"""Reads tables as people save them: csv, tsv and jsonl, from spreadsheets and from programs.

Nothing is guessed in silence. A table is UTF-8, or UTF-16 with a byte order mark; Excel's first line ``sep=;`` is read.
In a tsv, a quotation mark is a mark of the text, unless a cell is quoted as spreadsheets do it. In jsonl, null and NaN
are missing values, and a text must be a string.
"""

from __future__ import annotations

import codecs
import csv
import json
import math
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils.cli import log
from utils.errors import UserError

SUFFIXES = (".csv", ".tsv", ".jsonl")
# What programs and spreadsheets write for a missing value. Some are words, too: "null" is German for zero.
MISSING_WORDS = ("#n/a", "<na>", "\\n", "n/a", "na", "nan", "none", "null")
_SEP_LINE = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_CELL = re.compile(r'(?:"(?:[^"]|"")*"(?=\t|$)|[^\t]*)(?:\t|$)')

Line = tuple[int, dict[str, str]]
"""Number of a line of a table, from 1, and its columns by name, stripped."""


@dataclass(frozen=True)
class TableRow:
    """A row of a table: its place ``where`` (file:line), and its columns that are not empty, stripped."""

    where: str
    columns: dict[str, str]


@dataclass(frozen=True)
class TableForm:
    """What a table must look like.

    Attributes:
        path: name of the column of audio files.
        texts: names of the columns of texts; a table needs one of them.
        others: columns that are read, too.
        missing: words, in lower case, that mean a missing value if they are a whole cell; None: such cells are refused.
    """

    path: str
    texts: Sequence[str]
    others: Sequence[str]
    missing: Collection[str] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that are read."""
        return (self.path, *self.texts, *self.others)


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


def missing_words(option: str) -> frozenset[str] | None:
    """The words of an option ``--missing``; ``words`` means that none of them is a missing value.

    Raises:
        UserError: a word is not one that programs write for a missing value.
    """
    words = option.lower().split()
    if words == ["words"]:
        return frozenset()
    if unknown := sorted(set(words) - set(MISSING_WORDS)):
        raise UserError(f"--missing: {unknown[0]}: use words, or some of: {' '.join(MISSING_WORDS)}")
    return frozenset(words) or None


def read_table(path: Path, form: TableForm) -> list[TableRow]:
    """Return the rows of a table. Columns that ``form`` does not name are ignored, and logged.

    Raises:
        UserError: the table is missing, empty, in an unknown encoding or lacks columns, or a row cannot be understood.
    """
    text = _text_of(path)
    lines = _json_lines(path, text, form) if path.suffix.lower() == ".jsonl" else _cell_lines(path, text, form)
    rows, ignored = [], dict[str, None]()
    for number, columns in lines:
        ignored |= dict.fromkeys(columns.keys() - set(form.names))
        where = f"{path}:{number}"
        rows.append(TableRow(where, {name: columns[name] for name in form.names
                                     if columns.get(name) and not _is_missing(columns[name], where, name, form)}))
    if not rows:
        raise UserError(f"{path}: has no rows")
    if ignored:
        log(f"{path}: columns that are not used: {', '.join(sorted(ignored))}")
    return rows


def _text_of(path: Path) -> str:
    """The text of a file, without a byte order mark."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {'is missing' if isinstance(error, FileNotFoundError) else error.strerror}") from None
    encoding = "utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}:{line}: not UTF-8 ({error.reason} at byte {error.start}). Save it as UTF-8, for "
                        f"example: iconv -f cp1252 -t utf-8") from None
    if "\0" in text:
        raise UserError(f"{path}:{text.count(chr(10), 0, text.index(chr(0))) + 1}: has NUL characters: UTF-16 without "
                        "a byte order mark, or no text. Save it as UTF-8")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _is_missing(value: str, where: str, name: str, form: TableForm) -> bool:
    if value.lower() not in MISSING_WORDS:
        return False
    if form.missing is None:
        raise UserError(f"{where}: the {name} is {value!r}, which may be a word or a missing value. Say which: "
                        f"--missing {value.lower()}, or --missing words")
    return value.lower() in form.missing


def _check_names(where: str, names: Sequence[str], form: TableForm) -> None:
    if form.path not in names or not set(form.texts) & set(names):
        raise UserError(f"{where}: its columns are {', '.join(filter(None, names)) or 'none'}. Name them: {form.path}, "
                        f"and {' or '.join(form.texts)} or both; {', '.join(form.others)} if you have them")
    if twice := sorted({name for name in names if name and names.count(name) > 1}):
        raise UserError(f"{where}: has two columns {twice[0]}. Delete or rename one of them")


def _cell_lines(path: Path, text: str, form: TableForm) -> Iterator[Line]:
    """The rows of a csv or tsv; the delimiter is Excel's, or the one that the header has most of."""
    lines, first, delimiter = text.split("\n"), 0, ""
    if sep := _SEP_LINE.fullmatch(lines[0]):
        first, delimiter = 1, sep[1]
    header = lines[first] if first < len(lines) else ""
    delimiter = delimiter or max("\t;,", key=header.count)
    names = [name.strip().lower() for name in next(csv.reader([header], delimiter=delimiter), [])]
    _check_names(f"{path}:{first + 1}", names, form)
    cells = _tsv_cells if delimiter == "\t" else _csv_cells
    for number, values in cells(path, lines, first + 1, len(names), delimiter):
        if len(values) > len(names):
            raise UserError(f"{path}:{number}: {len(values)} columns, the header has {len(names)}. "
                            'Put a text with a delimiter in it into "quotes"')
        if any(values):
            yield number, {name: " ".join(value.split()) if name in form.texts else value.strip()
                           for name, value in zip(names, values, strict=False)}


def _csv_cells(path: Path, lines: Sequence[str], first: int, n_columns: int,
               delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Cells of the records of a csv, and the line that each begins on. A quoted cell may have line ends in it."""
    reader = csv.reader((f"{line}\n" for line in lines[first:]), delimiter=delimiter, strict=True)
    while True:
        start = first + reader.line_num
        try:
            values = next(reader, None)
        except csv.Error as error:
            raise UserError(f'{path}:{start + 1}: {error}. Write "" for a quote inside a quoted text') from None
        if values is None:
            return
        for inner in range(start + 1, first + reader.line_num):
            if lines[inner].count(delimiter) >= n_columns - 1 > 0:
                raise UserError(f"{path}:{start + 1}: a quoted text goes on to line {inner + 1}, which looks like a "
                                'row of its own. Close the quote, or write "" for a quote inside a quoted text')
        yield start + 1, values


def _tsv_cells(path: Path, lines: Sequence[str], first: int, n_columns: int, _: str) -> Iterator[tuple[int, list[str]]]:
    """Cells of the lines of a tsv. Quotes around a cell are removed if they are those of a spreadsheet."""
    for index in range(first, len(lines)):
        cells = lines[index].split("\t")
        if len(cells) > n_columns:  # tabs inside quoted cells, or too many cells
            whole = [cell.removesuffix("\t") for cell in _CELL.findall(lines[index])]
            cells = whole[:-1] if len(whole) == n_columns + 1 and not whole[-1] else whole
        following = next((line for line in lines[index + 1:] if line), None)
        if _opens_quote(cells[-1]) and (len(cells) < n_columns or (
                following is not None and following.count("\t") + 1 != n_columns)):
            raise UserError(f"{path}:{index + 1}: a quoted text runs over the end of its line. Write it in one "
                            "line, or delete the quotation mark")
        yield index + 1, [_unquoted(cell) for cell in cells]


def _opens_quote(cell: str) -> bool:
    return cell.startswith('"') and not _QUOTED.fullmatch(cell) and cell.count('"') % 2 == 1


def _unquoted(cell: str) -> str:
    return cell[1:-1].replace('""', '"') if _QUOTED.fullmatch(cell.strip()) else cell


def _json_lines(path: Path, text: str, form: TableForm) -> Iterator[Line]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        columns = json_of_line(line, f"{path}:{number}")
        columns = {str(name).strip().lower(): value for name, value in columns.items()} \
            if isinstance(columns, dict) else {}
        if not isinstance(columns.get(form.path), str):
            raise UserError(f'{path}:{number}: write an object with a {form.path} in each line: '
                            f'{{"{form.path}": "a.wav", ...}}')
        yield number, {name: _json_text(value, f"{path}:{number}", name, form) for name, value in columns.items()}


def json_of_line(line: str, where: str) -> Any:
    """The JSON value of a line.

    Raises:
        UserError: it is no JSON.
    """
    try:
        return json.loads(line)
    except ValueError as error:
        raise UserError(f"{where}: no JSON: {error}") from None


def _json_text(value: object, where: str, name: str, form: TableForm) -> str:
    """A JSON value as a cell; a UserError if a value of its type cannot be that column's."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, str):
        return " ".join(value.split()) if name in form.texts else value.strip()
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if name in form.names and (name in (form.path, *form.texts) or not number):
        kind = "a number" if number else "true or false" if isinstance(value, bool) else \
            "an object" if isinstance(value, dict) else "an array"
        raise UserError(f"{where}: the {name} is {kind}, not a string. Write it as a string in \"quotes\"")
    return json.dumps(value, ensure_ascii=False)
