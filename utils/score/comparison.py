"""The scored systems of an experiment, and paired significance tests between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from utils.cli import log
from utils.data.lists import parse_key
from utils.decode.decode_directory import DECODE_KEYS, GREEDY, is_greedy_search, read_decode_info
from utils.errors import UserError
from utils.filesystem import read_json
from utils.score.bootstrap import PairedTest, holm, paired_bootstrap
from utils.score.forms import form_of, leading_form
from utils.score.metrics import METRICS
from utils.score.score_files import Statistics, read_statistics
from utils.score.unseen import UNSEEN

Row = dict[str, Any]
"""An object of results.json."""

SIGNIFICANT = 0.05
_MOST_RESAMPLES = 20_000
MAIN_METRICS = ("wer", "cer", "mer", "bleu")  # systems are compared by these
SHOWN_METRICS = ("wer", "cer", "mer", "ter", "bleu")
ROW_KEYS = {*DECODE_KEYS, "language", "task", "metric", "value", "ci95", "n_utts", "normalizer", "signature"}
EXPORT_PREFIXES = ("ct2-", "ggml-", "openai")  # the names of exported systems begin with one: ct2-int8


class Unseen(NamedTuple):
    """The scores of the targets that have no relative among the training texts."""

    n_targets: int  # of the set
    n_relatives: int  # of them, with a relative
    rows: list[Row]  # without these


@dataclass(frozen=True)
class Decode:
    """A scored decode directory."""

    directory: Path
    info: dict[str, Any]  # decode.json
    rows: list[Row]  # scores.json
    taken: Mapping[str, Decode] = field(default_factory=dict)  # whose rows those of a metric are, if another search's

    @property
    def set(self) -> str:
        return self.info["set"]

    @property
    def system(self) -> str:
        return self.info["system"]

    @property
    def is_exported(self) -> bool:
        return is_export(self.system)

    @property
    def is_greedy(self) -> bool:
        """Whether it is greedy search beside beam search, from the same encoder pass."""
        return is_greedy_search(self.system)

    @property
    def order(self) -> tuple[str, int, str]:
        """A key that sorts by set, and in each set the base model first, then tuned models, then exported ones."""
        of_base = self.system.removesuffix(GREEDY) == "base"
        return self.set, 0 if of_base else 1 + self.is_exported, self.system

    @cached_property
    def unseen(self) -> Unseen | None:
        """The scores without targets that have a relative in training; None if these were not looked for."""
        path = self.directory / UNSEEN
        if not path.exists():
            return None
        content = read_json(path, "Score again: pyscripts/score.py --relatives")
        rows = [row for row in content["scores"] if row["metric"] not in self.taken]
        for metric, other in self.taken.items():
            if other.unseen:
                rows += [{**row, "system": self.system} for row in other.unseen.rows if row["metric"] == metric]
        return Unseen(content["targets"], content["relatives"], rows)

    @cached_property
    def statistics(self) -> dict[tuple[str, str], Statistics]:
        """The counts of every utterance, by metric and form of the texts."""
        own = read_statistics(self.directory / "utterances.jsonl", MAIN_METRICS)
        return own | {kind: of_kind for metric, other in self.taken.items()
                      for kind, of_kind in other.statistics.items() if kind[0] == metric}


@dataclass(frozen=True)
class Comparison:
    """A score of a system and the same score of its baseline, which it should not be worse than."""

    system: Row
    baseline: Row
    test: PairedTest
    p_value: float  # the test's, corrected for the others that it is listed with
    n_tests: int = 1  # listed together

    @property
    def clear_from(self) -> float:
        """The smallest difference that this set could have shown beside the others.

        It is as for the smallest of their p-values, which Holm's correction asks most of.
        """
        return self.test.clear_from(SIGNIFICANT / self.n_tests)

    @property
    def is_worse(self) -> bool:
        higher_is_better = METRICS[self.system["metric"]].higher_is_better
        return self.test.difference < 0 if higher_is_better else self.test.difference > 0

    @property
    def is_clear(self) -> bool:
        return self.p_value < SIGNIFICANT

    @property
    def interval_width(self) -> float:
        """The width of the wider of the two scores' 95 % intervals."""
        return max(row["ci95"][1] - row["ci95"][0] for row in (self.system, self.baseline))


def collect(exp_dir: Path) -> list[Decode]:
    """The scored decode directories of an experiment, in the order of :attr:`Decode.order`.

    Raises:
        UserError: there is none, one is damaged, or two are of the same system and set.
    """
    decodes: dict[tuple[str, str], Decode] = {}
    for directory in sorted(exp_dir.glob("decode_*")):
        if not (directory / "scores.json").exists():
            log(f"left out, not scored yet: {directory} (pyscripts/score.py)")
            continue
        decode = read_decode(directory)
        first = decodes.setdefault((decode.set, decode.system), decode)
        if first is not decode:
            raise UserError(f"{first.directory} and {directory} are both {decode.system} on {decode.set}. "
                            "Remove one of them")
    if not decodes:
        raise UserError(f"{exp_dir}: no decode_*/scores.json. Decode and score first: "
                        "pyscripts/predict.py, pyscripts/score.py")
    return sorted(decodes.values(), key=lambda decode: decode.order)


def read_decode(directory: Path) -> Decode:
    """A scored decode directory.

    Raises:
        UserError: it is not scored, or damaged.
    """
    rows = read_rows(directory / "scores.json", "Score again: pyscripts/score.py")
    return Decode(directory, read_decode_info(directory), rows)


def read_rows(path: Path, remedy: str) -> list[Row]:
    """scores.json of a decode directory, or results.json of an experiment.

    Raises:
        UserError: it is missing or no list of scores; the message ends with ``remedy``.
    """
    rows = read_json(path, remedy)
    if not isinstance(rows, list) or any(not isinstance(row, dict) or ROW_KEYS - row.keys() for row in rows):
        raise UserError(f"{path}: not a list of scores. {remedy}")
    return rows


def is_export(system: str) -> bool:
    """Whether a system's name is that of an exported model."""
    return system.startswith(EXPORT_PREFIXES)


def figure(row: Row) -> tuple[str, str, str]:
    """Metric, language and form of the texts: rows of systems that agree in these can be compared."""
    return row["metric"], row["language"], form_of(row)


def main_form(decodes: Sequence[Decode]) -> str:
    """The form of the texts that the main scores are of: the leading one that there is."""
    return leading_form(row for decode in decodes for row in decode.rows)


def at_their_best(decodes: Sequence[Decode]) -> list[Decode]:
    """The decodes that reports lead with: one for each system.

    Tuned models and exports count with the search that was chosen before. The base model counts with the better of its
    two searches, metric by metric, over all languages of this very set: a choice that favours the base model.
    """
    greedy = {(decode.set, decode.system.removesuffix(GREEDY)): decode for decode in decodes if decode.is_greedy}
    chosen = []
    for decode in decodes:
        other = greedy.get((decode.set, decode.system))
        if not decode.is_greedy:
            chosen.append(_with_better(decode, other) if other and decode.system == "base" else decode)
    return chosen


def _with_better(decode: Decode, other: Decode) -> Decode:
    """``decode`` with the rows of ``other`` for the metrics in which ``other`` is better over all languages."""
    form = main_form([decode, other])
    ours, theirs = ({row["metric"]: row["value"] for row in side.rows
                     if row["language"] == "all" and form_of(row) == form} for side in (decode, other))
    better = {metric for metric, value in theirs.items() if metric in ours and value != ours[metric]
              and (value > ours[metric]) == METRICS[metric].higher_is_better}
    rows = [row for row in decode.rows if row["metric"] not in better]
    rows += [{**row, "system": decode.system} for row in other.rows if row["metric"] in better]
    return replace(decode, rows=rows, taken=dict.fromkeys(better, other))


def compare(decodes: Sequence[Decode], n_resamples: int = 1000) -> list[Comparison]:
    """Compare tuned systems with the base model and exported ones with the tuned one, set by set.

    The searches that are compared are those of :func:`at_their_best`.

    The main metrics are compared per language, and over all languages where there are several. The p-values are
    corrected for all of these comparisons (Holm).

    Args:
        n_resamples: at least; many comparisons need more, because no p-value is less than one in their number.

    Raises:
        UserError: two systems were scored with different normalisers, metrics or utterances.
    """
    decodes = at_their_best(decodes)
    pairs = [(baseline, decode, shown_rows(decode.rows, MAIN_METRICS, main_form([decode])))
             for decode in decodes if (baseline := _baseline(decode, decodes)) is not None]
    n_tests = sum(len(rows) for _, _, rows in pairs)
    n_resamples = max(n_resamples, min(_MOST_RESAMPLES, round(2 * n_tests / SIGNIFICANT)))
    found = [one for baseline, decode, rows in pairs for one in compare_with(baseline, decode, rows, n_resamples)]
    p_values = holm([one.test.p_value for one in found])
    return [replace(one, p_value=p_value, n_tests=n_tests) for one, p_value in zip(found, p_values, strict=True)]


def compare_with(baseline: Decode, decode: Decode, rows: Sequence[Row], n_resamples: int = 1000) -> list[Comparison]:
    """Compare some rows of ``decode`` with the same scores of ``baseline``, each test by itself.

    Raises:
        UserError: the two were scored with different normalisers, metrics or utterances.
    """
    others = {figure(row): row for row in baseline.rows}
    return [_compare(decode, row, baseline, others.get(figure(row)), n_resamples) for row in rows]


def shown_rows(rows: Sequence[Row], metrics: Sequence[str], form: str) -> list[Row]:
    """Rows of some metrics, sorted by metric, then language; ``all`` comes last, and only if there are several."""
    chosen = [row for row in rows if row["metric"] in metrics and form_of(row) == form]
    languages = {metric: {row["language"] for row in chosen if row["metric"] == metric} for metric in metrics}
    chosen = [row for row in chosen if row["language"] != "all" or len(languages[row["metric"]]) > 2]
    return sorted(chosen, key=lambda row: (metrics.index(row["metric"]), row["language"] == "all",
                                           row["language"]))


def _baseline(decode: Decode, decodes: Sequence[Decode]) -> Decode | None:
    """The tuned system for an exported one (the base model if nothing was tuned), else the base model."""
    earlier = [other for other in decodes if other.set == decode.set and not other.is_exported]
    tuned = [other for other in earlier if other.system != "base"]
    base = [other for other in earlier if other.system == "base"]
    candidates = tuned or base if decode.is_exported else base
    return candidates[0] if candidates and decode not in candidates else None


def _compare(decode: Decode, row: Row, baseline: Decode, other: Row | None, n_resamples: int) -> Comparison:
    kind, language = (row["metric"], form_of(row)), row["language"]
    ours, theirs = (_of_language(side.statistics.get(kind), language) for side in (decode, baseline))
    alike = other is not None and all(other[key] == row[key] for key in ("normalizer", "signature"))
    if other is None or not alike or not ours.keys or ours.keys != theirs.keys:
        raise UserError(f"{decode.directory} and {baseline.directory} were not scored alike: {language} "
                        f"{row['metric']} differs in utterances, normalizer or signature. Score both again with the "
                        "same --ref, --normalizer and --metric")
    score = METRICS[row["metric"]].score
    test = paired_bootstrap(theirs.values, ours.values, ours.speakers, score, n_resamples)
    return Comparison(row, other, test, test.p_value)


def _of_language(statistics: Statistics | None, language: str) -> Statistics:
    """The statistics of a language, or of all languages, sorted by key."""
    if statistics is None:
        return Statistics([], [], [], np.zeros((0, 0)))
    keys = statistics.keys
    chosen = sorted((index for index, key in enumerate(keys) if language in ("all", parse_key(key).language)),
                    key=keys.__getitem__)
    keys, speakers, normalizers = ([column[index] for index in chosen] for column in statistics[:3])
    return Statistics(keys, speakers, normalizers, statistics.values[chosen])
