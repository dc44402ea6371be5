"""The note that a set's translations are a machine's, ``machine_made.json``: read when lists are merged and reported.

:mod:`utils.teacher.labels` writes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from utils.filesystem import read_json

MACHINE_MADE_JSON = "machine_made.json"  # in data/SET/translate and, once merged, in data/SET


def read_machine_made(directory: Path) -> dict[str, Any] | None:
    """machine_made.json of a data directory; None if humans wrote everything."""
    path = directory / MACHINE_MADE_JSON
    return read_json(path, "Label again: ./run.sh --stage 1 --teacher MODEL") if path.exists() else None


def machine_made_note(set_name: str, record: Mapping[str, Any]) -> str:
    """One line about a set for the head of a report."""
    by_human = f", {record['human']} by humans" if record["human"] else ""
    return (f"translations of {set_name}: machine-made by {record['teacher']} "
            f"({record['kept']} of {record['decoded']} kept){by_human}")
