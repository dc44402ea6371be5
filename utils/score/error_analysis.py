"""The most frequent errors, counted from alignments, in the form of sclite's reports ``sys`` and ``dtl``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from utils.score.alignment import Alignment
from utils.score.metrics import Measurement

MOST_FREQUENT = 50
_KEPT = 200_000  # different errors that are counted; beyond twice as many the rarest are dropped, to bound memory


@dataclass
class Confusions:
    """How often each unit was substituted by another, deleted, or inserted."""

    substitutions: Counter[tuple[str, str]] = field(default_factory=Counter)
    deletions: Counter[str] = field(default_factory=Counter)
    insertions: Counter[str] = field(default_factory=Counter)

    def add(self, alignments: Iterable[Alignment]) -> None:
        """Count the errors of some utterances."""
        for reference, hypothesis in (pair for alignment in alignments for pair in alignment.pairs()):
            if reference is not None and hypothesis is not None:
                if reference != hypothesis:
                    self.substitutions[reference, hypothesis] += 1
            elif reference is not None:
                self.deletions[reference] += 1
            elif hypothesis is not None:
                self.insertions[hypothesis] += 1

    def merge(self, other: Confusions) -> None:
        """Add the counts of other utterances."""
        for name in ("substitutions", "deletions", "insertions"):
            counts = getattr(self, name)
            counts.update(getattr(other, name))
            if len(counts) > 2 * _KEPT:
                setattr(self, name, Counter(dict(counts.most_common(_KEPT))))


def summary_table(measurement: Measurement) -> str:
    """sclite's table of percentages (sys): a line per language, and one for all.

    S.Err is the percentage of utterances with an error.
    """
    languages = np.array([utt.language for utt in measurement.utterances])
    rule = "|" + "-" * 78 + "|"
    unit = {"wer": "Wrd", "cer": "Chr", "mer": "Unit", "ter": "Tok"}[measurement.metric]
    lines = [f"{measurement.metric.upper()}, normalizer {', '.join(sorted(set(measurement.normalizers)))}", "", rule,
             f"| {'SPKR':<12}| {'# Snt':>8} {'# ' + unit:>9} | {'Corr':>6} {'Sub':>6} {'Del':>6} {'Ins':>6} {'Err':>6} "
             f"{'S.Err':>6} |", rule]
    for language in [*sorted(set(languages)), "Sum/Avg"]:
        chosen = measurement.statistics[(languages == language) | (language == "Sum/Avg")]
        substitutions, deletions, insertions, length = chosen.sum(axis=0).tolist()
        shares = [length - substitutions - deletions, substitutions, deletions, insertions,
                  substitutions + deletions + insertions]
        cells = [_percent(share, length) for share in shares]
        cells.append(_percent(np.count_nonzero(chosen[:, :3].sum(axis=1)), len(chosen)))
        lines.append(f"| {language:<12}| {len(chosen):>8} {length:>9} | {' '.join(cells)} |")
        lines.append(rule)
    return "\n".join(lines)


def _percent(count: int, total: int) -> str:
    return f"{100 * count / total:6.1f}" if total else "     -"


def confusion_tables(confusions: Confusions, limit: int = MOST_FREQUENT) -> str:
    """sclite's lists (dtl) of the most frequent substitutions, deletions and insertions."""
    pairs = Counter({f"{reference} ==> {hypothesis}": count
                     for (reference, hypothesis), count in confusions.substitutions.items()})
    tables = (("CONFUSION PAIRS", pairs), ("DELETIONS", confusions.deletions), ("INSERTIONS", confusions.insertions))
    return "\n\n".join(_frequency_table(title, counts, limit) for title, counts in tables)


def _frequency_table(title: str, counts: Counter[str], limit: int) -> str:
    lines = [f"{title:<33}Total{'(' + str(len(counts)) + ')':>22}",
             f"{'':33}Occurrences{'(' + str(counts.total()) + ')':>16}", ""]
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:limit]
    lines += [f"{rank:>4}: {count:>4}  ->  {error}" for rank, (error, count) in enumerate(ordered, 1)]
    return "\n".join(lines)


def worst_utterances(statistics: np.ndarray, limit: int = 20) -> list[int]:
    """Indices of the utterances with the most errors, the worst first; those without errors are left out.

    Args:
        statistics: of an error rate, shape (utterances, 4).
    """
    errors = statistics[:, :3].sum(axis=1)
    return [int(index) for index in np.argsort(-errors, kind="stable")[:limit] if errors[index]]


def worst_table(measurement: Measurement, limit: int = 20) -> str:
    """The worst utterances with their errors, reference lengths and texts."""
    lines = [f"WORST UTTERANCES{'Errors / reference length':>42}", ""]
    for rank, index in enumerate(worst_utterances(measurement.statistics, limit), 1):
        *errors, length = measurement.statistics[index].tolist()
        utt = measurement.utterances[index]
        lines += [f"{rank:>4}: {sum(errors):>4} / {length:<4} {utt.key}", f"{'ref: ':>17}{utt.reference}",
                  f"{'hyp: ':>17}{utt.hypothesis}"]
    return "\n".join(lines)


def counted(kinds: Sequence[str]) -> str:
    """``3 loop, 1 empty``, most frequent first."""
    return ", ".join(f"{count} {kind}" for kind, count in Counter(kinds).most_common())
