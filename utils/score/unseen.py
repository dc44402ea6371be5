"""The scores of a set without the targets that have a relative among the training texts (utils/data/relatives.py)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from utils.errors import UserError
from utils.score.forms import leading_form
from utils.score.metrics import METRICS, Measurement, TextPair, results
from utils.score.score_files import read_statistics

UNSEEN = "unseen.json"  # in a decode directory
SUBSET = "no relative in training"


def read_relatives(path: Path) -> set[str]:
    """The keys in a file that pyscripts/find_relatives.py wrote.

    Raises:
        UserError: the file cannot be read.
    """
    try:
        return {line.partition("\t")[0] for line in path.read_text(encoding="utf-8").splitlines()}
    except OSError as error:
        raise UserError(f"--relatives {path}: cannot be read: {error.strerror}. Make it: "
                        "pyscripts/find_relatives.py") from None


def score_unseen(decode_dir: Path, decode: Mapping[str, Any], utterances: Sequence[TextPair], rows: Sequence[Any],
                 relatives: Collection[str], n_resamples: int) -> dict[str, Any]:
    """The content of unseen.json: how many targets have a relative, and the scores of the others.

    Args:
        decode_dir: with utterances.jsonl.
        decode: decode.json.
        utterances: all targets of the set.
        rows: of scores.json; the scores are of their leading form.
        relatives: keys of targets that have a relative.
        n_resamples: of the bootstrap.
    """
    form = leading_form(rows)
    pairs = {utt.key: utt for utt in utterances}
    found = []
    for (metric, of_form), table in read_statistics(decode_dir / "utterances.jsonl", METRICS).items():
        kept = [index for index, key in enumerate(table.keys) if key not in relatives]
        if of_form == form and kept and relatives:
            measurement = Measurement(metric, [pairs[table.keys[index]] for index in kept],
                                      [table.normalizers[index] for index in kept], table.values[kept], [])
            found += results(measurement, decode, n_resamples)
    return {"targets": len(pairs), "relatives": len(pairs.keys() & relatives),
            "scores": [{**row, "form": form, "subset": SUBSET} for row in found]}
