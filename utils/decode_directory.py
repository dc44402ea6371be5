"""exp/TAG/decode_SET_SYSTEM: hypotheses as Kaldi text, and how they were made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from utils.filesystem import atomic_open
from utils.lists import write_list

FRAMES_PER_SECOND = 100


def write_decode_directory(directory: Path, hypotheses: Mapping[str, str], info: Mapping[str, Any]) -> None:
    """Write ``text`` (sorted as Kaldi does; an empty hypothesis is a key alone), then ``decode.json``."""
    write_list(directory / "text", hypotheses)
    with atomic_open(directory / "decode.json") as stream:
        json.dump(dict(info), stream, indent=2)
