"""Which share of its trained weight an adapter is used at: the best on dev among those that lose nothing elsewhere."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from utils.errors import UserError
from utils.score.comparison import (
    MAIN_METRICS,
    Comparison,
    Decode,
    at_their_best,
    compare_with,
    main_form,
    shown_rows,
)
from utils.score.metrics import METRICS

RULE = "the best dev score (BLEU minus error rate) of the shares that lose nothing significant on the forget sets"


@dataclass(frozen=True)
class Trial:
    """An adapter at one share of its trained weight.

    Attributes:
        share: of the trained weight.
        dev: scores on the dev set over all languages, by metric.
        forget: comparisons with the base model on the forget sets, over all languages.
    """

    share: float
    dev: dict[str, float]
    forget: Sequence[Comparison]

    @property
    def dev_score(self) -> float:
        """BLEU minus the error rate, in points: higher is better."""
        return sum(value if METRICS[metric].higher_is_better else -value for metric, value in self.dev.items())

    @property
    def losses(self) -> list[Comparison]:
        """What is significantly worse than with the base model, each test by itself."""
        return [one for one in self.forget if one.is_worse and one.is_clear]

    @property
    def lost_points(self) -> float:
        """The sum of these losses, in points."""
        return sum(abs(one.test.difference) for one in self.losses)

    def as_record(self) -> dict[str, Any]:
        """An object for strength.json."""
        return {"share": self.share, "dev": self.dev, "forget": [
            {"set": one.system["set"], "metric": one.system["metric"], "value": one.system["value"],
             "base": one.baseline["value"], "p_value": one.p_value} for one in self.forget]}


def trials(decodes: Sequence[Decode], shares: Sequence[float], dev_set: str,
           forget_sets: Collection[str]) -> list[Trial]:
    """The trials of an adapter.

    Args:
        decodes: of the systems ``lora-SHARE`` on all sets, and of ``base`` on the forget sets.

    Raises:
        UserError: a set is not decoded at one of the shares, or was scored differently.
    """
    found = {(decode.set, decode.system): decode for decode in at_their_best(decodes)}

    def needed(set_name: str, system: str) -> Decode:
        if (set_name, system) not in found:
            raise UserError(f"--strengths: {system} is not decoded and scored on {set_name}. Decode it: "
                            "pyscripts/predict.py --strength")
        return found[set_name, system]

    tried = []
    for share in shares:
        system = system_at(share)
        dev = {row["metric"]: row["value"] for row in _overall(needed(dev_set, system))}
        forget = [one for name in forget_sets for one in compare_with(
            needed(name, "base"), needed(name, system), _overall(needed(name, system)))]
        tried.append(Trial(share, dev, forget))
    return tried


def system_at(share: float) -> str:
    """The name of the system that is the adapter at a share of its trained weight: ``lora-0.7``."""
    return f"lora-{share:g}"


def best_trial(tried: Sequence[Trial]) -> Trial:
    """The trial by :data:`RULE`; if all lose something, the one that loses the fewest points."""
    harmless = [trial for trial in tried if not trial.losses]
    if harmless:
        return max(harmless, key=lambda trial: trial.dev_score)
    return min(tried, key=lambda trial: trial.lost_points)


def _overall(decode: Decode) -> list[dict[str, Any]]:
    """The main metrics over all languages, or over the only one."""
    rows = shown_rows(decode.rows, MAIN_METRICS, main_form([decode]))
    languages = {metric: [row for row in rows if row["metric"] == metric] for metric in MAIN_METRICS}
    return [of_metric[-1] for of_metric in languages.values() if of_metric]
