"""Bootstrap confidence intervals and paired significance tests on per-utterance sufficient statistics.

A corpus score (WER, BLEU, chrF) is a function of sums over utterances: edit counts, n-gram matches. Drawing
utterances with replacement and summing again costs one matrix product for all resamples together.
Bisani and Ney 2004, "Bootstrap estimates for confidence intervals in ASR performance evaluation";
Koehn 2004, "Statistical significance tests for machine translation evaluation".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

SEED = 20040517  # fixed, so that the same hypotheses give the same report
MIN_SPEAKERS = 5  # with fewer, utterances are drawn: so few do not show how much speakers differ
MAX_DRAWN = 20_000  # the most rows that are drawn; more are first summed into this many random groups

CorpusScore = Callable[[np.ndarray], float]
"""Maps summed statistics of shape (k,) to a score; NaN where it is undefined."""


@dataclass(frozen=True)
class PairedTest:
    """The difference ``system - baseline``, its 95 % interval and its two-sided p-value."""

    difference: float
    ci95: tuple[float, float]
    p_value: float
    standard_error: float = 0.0  # of the difference, over the resamples

    def clear_from(self, level: float) -> float:
        """The smallest difference that would have had a p-value below ``level``: what is less, these utterances hide.

        By the normal distribution, whose tail a thousand resamples do not reach.
        """
        return NormalDist().inv_cdf(1 - level / 2) * self.standard_error


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for being looked at together (Holm 1979, as statsmodels' multipletests(method="holm")).

    If all those below 0.05 are called clear, the chance that one of them is so by accident alone is at most 0.05.
    """
    p_sorted = np.sort(p_values)
    corrected = np.maximum.accumulate(p_sorted * np.arange(len(p_sorted), 0, -1)).clip(max=1.0)
    return [float(corrected[place]) for place in np.argsort(np.argsort(p_values, kind="stable"), kind="stable")]


def sum_clusters(statistics: np.ndarray, speakers: Sequence[str]) -> np.ndarray:
    """The rows to draw: sums by speaker if there are enough speakers, since their utterances are not independent.

    Args:
        statistics: shape (utterances, k).
        speakers: one per utterance.

    Returns:
        Shape (speakers, k) if there are at least MIN_SPEAKERS and fewer than utterances, else ``statistics``.
    """
    names, cluster = np.unique(np.asarray(speakers), return_inverse=True)
    if not MIN_SPEAKERS <= len(names) < len(statistics):
        return statistics
    sums = np.zeros((len(names), statistics.shape[1]))
    np.add.at(sums, cluster, statistics)
    return sums


def resampled_sums(statistics: np.ndarray, n_resamples: int) -> np.ndarray:
    """Column sums of ``n_resamples`` draws of all rows with replacement; shape (n_resamples, k)."""
    rng = np.random.default_rng(SEED)
    statistics = _grouped(statistics.astype(float), rng)
    n_rows = len(statistics)
    sums = np.empty((n_resamples, statistics.shape[1]))
    step = max(1, 2_000_000 // n_rows)  # at most 16 MB of weights at a time
    for start in range(0, n_resamples, step):
        draws = rng.integers(n_rows, size=(min(step, n_resamples - start), n_rows))
        weights = np.stack([np.bincount(draw, minlength=n_rows) for draw in draws])
        sums[start:start + len(draws)] = weights.astype(float) @ statistics
    return sums


def _grouped(statistics: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Sums of at most MAX_DRAWN random groups of equal size, whose total varies as much as that of single rows.

    With g groups an interval's width is off by a factor of 1 ± 1/sqrt(2 g): half a per cent.
    """
    if len(statistics) <= MAX_DRAWN:
        return statistics
    group = rng.permutation(len(statistics)) % MAX_DRAWN
    sums = np.zeros((MAX_DRAWN, statistics.shape[1]))
    np.add.at(sums, group, statistics)
    return sums


def _interval(scores: np.ndarray) -> tuple[float, float]:
    low, high = np.nanquantile(scores, [0.025, 0.975])
    return float(low), float(high)


def bootstrap_interval(statistics: np.ndarray, speakers: Sequence[str], score: CorpusScore,
                       n_resamples: int = 1000) -> tuple[float, float]:
    """95 % percentile interval of ``score`` over resampled utterances or speakers.

    Args:
        statistics: shape (utterances, k).
        speakers: one per utterance; see :func:`sum_clusters`.

    Returns:
        The lower and the upper end; the score of all utterances lies between them.
    """
    value = score(statistics.sum(axis=0))
    sums = resampled_sums(sum_clusters(statistics, speakers), n_resamples)
    low, high = _interval(np.array([score(row) for row in sums]))
    # BLEU of resamples is biased on a few utterances; the interval is widened so that it contains the score itself.
    return min(low, value), max(high, value)


def paired_bootstrap(baseline: np.ndarray, system: np.ndarray, speakers: Sequence[str], score: CorpusScore,
                     n_resamples: int = 1000) -> PairedTest:
    """Compare two systems on the same utterances; each resample draws the same utterances for both.

    For the p-value, the resampled differences are shifted to mean zero, and those at least as large as the observed
    one are counted (Riezler and Maxwell 2005, as sacrebleu does). Equal systems have p = 1.

    Args:
        baseline: statistics of shape (utterances, k).
        system: the same utterances in the same order.
        speakers: one per utterance; see :func:`sum_clusters`.
    """
    k = baseline.shape[1]
    difference = score(system.sum(axis=0)) - score(baseline.sum(axis=0))
    sums = resampled_sums(sum_clusters(np.hstack([baseline, system]), speakers), n_resamples)
    differences = np.array([score(row[k:]) - score(row[:k]) for row in sums])
    differences = differences[~np.isnan(differences)]
    extreme = np.abs(differences - differences.mean()) >= abs(difference)
    return PairedTest(difference, _interval(differences), float((extreme.sum() + 1) / (len(differences) + 1)),
                      float(differences.std()))
