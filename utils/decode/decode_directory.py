"""exp/TAG/decode_SET_SYSTEM: hypotheses as Kaldi text, and how they were made."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from utils.data.lists import join_lists, write_list
from utils.errors import UserError
from utils.filesystem import atomic_open, read_json

DECODE_KEYS = ("system", "set", "seconds", "audio_seconds")


def write_decode_directory(directory: Path, hypotheses: Mapping[str, str], info: Mapping[str, Any]) -> None:
    """Write ``text`` (sorted as Kaldi does; an empty hypothesis is a key alone), then ``decode.json``.

    What was found out about earlier hypotheses (parity.json) goes.
    """
    (directory / "parity.json").unlink(missing_ok=True)
    write_list(directory / "text", hypotheses)
    with atomic_open(directory / "decode.json") as stream:
        json.dump(dict(info), stream, indent=2)


def part_directory(directory: Path, job: int) -> Path:
    """Where job ``job`` of several writes its share of a decode directory."""
    return directory / f"part.{job}"


def join_decode_parts(directory: Path, num_jobs: int) -> int:
    """Join the shares of ``num_jobs`` jobs into ``directory`` and remove them; returns the number of keys.

    ``seconds`` of the whole are those of all jobs together, as if one had done it all.

    Raises:
        UserError: a share is missing, or they are not those of one set decoded by as many jobs.
    """
    parts = [part_directory(directory, job) for job in range(1, num_jobs + 1)]
    infos = []
    for part in parts:
        try:
            infos.append(json.loads((part / "decode.json").read_text(encoding="utf-8")))
        except (OSError, ValueError):
            raise UserError(f"{part}: is not complete, its job did not end well; decode again") from None
    hypotheses = join_lists((part / "text" for part in parts), "decode again", allow_empty=True)
    if {info.pop("num_jobs") for info in infos} != {num_jobs} or {info.pop("n_keys") for info in infos} != {
            len(hypotheses)}:
        raise UserError(f"{directory}: its parts are not of one decoding with {num_jobs} jobs; decode again")
    totals = {name: round(sum(info[name] for info in infos), 2) for name in ("seconds", "audio_seconds")}
    write_decode_directory(directory, hypotheses, {**infos[0], **totals})
    for part in parts:
        shutil.rmtree(part)
    return len(hypotheses)


def read_decode_info(decode_dir: str | Path) -> dict[str, Any]:
    """decode.json, which says what was decoded, by what and how fast.

    Raises:
        UserError: missing, no JSON object, or without one of DECODE_KEYS.
    """
    path = Path(decode_dir) / "decode.json"
    info = read_json(path, "Decode first: pyscripts/predict.py")
    missing = [key for key in DECODE_KEYS if key not in info] if isinstance(info, dict) else DECODE_KEYS
    if missing:
        raise UserError(f"{path}: no {', '.join(missing)}. Decode again: pyscripts/predict.py")
    return info
