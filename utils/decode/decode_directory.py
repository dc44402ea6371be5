"""The directory exp/TAG/decode_SET_SYSTEM: hypotheses as a Kaldi text, and decode.json on how they were made."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from utils.data.lists import join_lists, write_list
from utils.errors import UserError
from utils.filesystem import atomic_open, read_json

GREEDY = "-greedy"  # in the name of a system whose hypotheses are of greedy search, beside those of beam search
DECODE_KEYS = ("system", "set", "seconds", "audio_seconds")


def write_decode_directory(directory: Path, hypotheses: Mapping[str, str], info: Mapping[str, Any]) -> None:
    """Write ``text`` (sorted as Kaldi does; an empty hypothesis is a key alone), then ``decode.json``.

    The comparison of earlier hypotheses, parity.json, is removed.
    """
    (directory / "parity.json").unlink(missing_ok=True)
    write_list(directory / "text", hypotheses)
    with atomic_open(directory / "decode.json") as stream:
        json.dump(dict(info), stream, indent=2)


def greedy_directory(directory: Path) -> Path:
    """The directory of greedy search beside one of beam search."""
    return directory.with_name(directory.name + GREEDY)


def is_greedy_search(system: str) -> bool:
    """Whether a system is greedy search beside beam search, by its name."""
    return system.endswith(GREEDY)


def part_directory(directory: Path, job: int) -> Path:
    """The directory into which one of several jobs writes its part of a decode directory."""
    return directory / f"part.{job}"


def join_decode_parts(directory: Path, num_jobs: int) -> int:
    """Join the parts of ``num_jobs`` jobs into ``directory``, then remove them.

    ``seconds`` and ``audio_seconds`` in decode.json are the sums over all jobs.

    Returns:
        The number of keys.

    Raises:
        UserError: a part is missing, or the parts are not of one set decoded by ``num_jobs`` jobs.
    """
    parts = [part_directory(directory, job) for job in range(1, num_jobs + 1)]
    infos = []
    for part in parts:
        try:
            infos.append(json.loads((part / "decode.json").read_text(encoding="utf-8")))
        except (OSError, ValueError):
            raise UserError(f"{part}: is not complete, because its job failed; decode again") from None
    hypotheses = join_lists((part / "text" for part in parts), "decode again", allow_empty=True)
    if {info.pop("num_jobs") for info in infos} != {num_jobs} or {info.pop("n_keys") for info in infos} != {
            len(hypotheses)}:
        raise UserError(f"{directory}: its parts are not from one decoding with {num_jobs} jobs; decode again")
    totals = {name: round(sum(info[name] for info in infos), 2) for name in ("seconds", "audio_seconds")}
    write_decode_directory(directory, hypotheses, {**infos[0], **totals})
    for part in parts:
        shutil.rmtree(part)
    return len(hypotheses)


def read_decode_info(decode_dir: str | Path) -> dict[str, Any]:
    """The content of decode.json: the set, the system, and how long decoding took.

    Raises:
        UserError: missing, no JSON object, or without one of DECODE_KEYS.
    """
    path = Path(decode_dir) / "decode.json"
    info = read_json(path, "Decode first: pyscripts/predict.py")
    missing = [key for key in DECODE_KEYS if key not in info] if isinstance(info, dict) else DECODE_KEYS
    if missing:
        raise UserError(f"{path}: no {', '.join(missing)}. Decode again: pyscripts/predict.py")
    return info
