"""Is an exported model as good as the model it came from? The gate of stage 5."""

from __future__ import annotations

from pathlib import Path

from tabulate import tabulate

from utils.errors import UserError
from utils.lists import read_list
from utils.score_files import read_json
from utils.scoring import METRICS

GATED = ("wer", "cer", "mer", "bleu")
_EXAMPLES = 3


def check_parity(tuned: Path, exported: Path, tolerance: float) -> str:
    """A table of normalised figures of both, by language; ``all`` decides.

    Args:
        tuned, exported: decode directories with scores.json.
        tolerance: how many points the export may lose over all languages.

    Raises:
        UserError: it loses more (with the table and the first utterances that differ), or a figure is missing.
    """
    before, after = _figures(tuned), _figures(exported)
    if before.keys() != after.keys():
        raise UserError(f"{tuned} and {exported} were not scored on the same languages and metrics; score both again")
    rows, lost = [], []
    for (language, metric), value in sorted(before.items()):
        sign = 1 if METRICS[metric].higher_is_better else -1
        loss = sign * (value - after[language, metric])
        rows.append([language, metric.upper(), value, after[language, metric], -sign * loss])
        if language == "all" and loss > tolerance:
            lost.append(f"{metric.upper()} {value:.2f} -> {after[language, metric]:.2f}")
    table = tabulate(rows, ["language", "metric", tuned.name, exported.name, "change"], floatfmt=(".2f"))
    if lost:
        raise UserError(f"{exported} is worse than {tuned} by more than {tolerance}: {', '.join(lost)}\n{table}\n"
                        + "\n".join(_differences(tuned, exported)))
    return table


def _figures(directory: Path) -> dict[tuple[str, str], float]:
    rows = read_json(directory / "scores.json", "Score first: pyscripts/score.py")
    return {(row["language"], row["metric"]): row["value"] for row in rows
            if row["metric"] in GATED and row["normalizer"] != "none"}


def _differences(tuned: Path, exported: Path) -> list[str]:
    before, after = (read_list(path / "text", allow_empty=True) for path in (tuned, exported))
    different = [key for key in before if before[key] != after.get(key)]
    lines = [f"{key}\n  {tuned.name}: {before[key]}\n  {exported.name}: {after.get(key)}"
             for key in different[:_EXAMPLES]]
    return [f"{len(different)} of {len(before)} hypotheses differ; the first:", *lines]
