"""``machine_made.json`` records that a teacher model made translations of a set. Merging and reports read it.

:mod:`utils.teacher.labels` writes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from utils.filesystem import read_json

MACHINE_MADE_JSON = "machine_made.json"  # in data/SET/translate and, once merged, in data/SET


def read_machine_made(directory: Path) -> dict[str, Any] | None:
    """Return machine_made.json of a data directory; None if all its texts are by humans."""
    path = directory / MACHINE_MADE_JSON
    return read_json(path, "Label again: ./run.sh --stage 1 --teacher MODEL") if path.exists() else None


def machine_made_note(set_name: str, record: Mapping[str, Any]) -> str:
    """Return one line about a set's machine-made translations, for the head of a report."""
    by_human = f", {record['human']} by humans" if record["human"] else ""
    return (f"translations of {set_name}: machine-made by {record['teacher']} "
            f"({record['kept']} of {record['decoded']} kept){by_human}")
