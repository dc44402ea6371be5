"""Manifests of JSON lines: each record with its place."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from utils.data.tables import json_of_line
from utils.errors import UserError


def read_json_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield place (file:line) and object of each line; a file that ends in .gz is unpacked.

    Raises:
        UserError: the file cannot be read, or a line is no JSON object.
    """
    try:
        with (gzip.open(path, "rt", encoding="utf-8-sig") if path.suffix == ".gz" else
              path.open(encoding="utf-8-sig")) as stream:
            for number, line in enumerate(stream, 1):
                if line.strip():
                    yield f"{path}:{number}", _record(line, f"{path}:{number}")
    except (OSError, UnicodeDecodeError, EOFError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"{path}: cannot be read: {reason}. Check the path") from None


def _record(line: str, where: str) -> dict[str, Any]:
    record = json_of_line(line, where)
    if not isinstance(record, dict):
        raise UserError(f"{where}: not a JSON object, but {type(record).__name__}")
    return record
