"""Scores of hypotheses against references: statistics per utterance, and the figures that their sums give."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jiwer
import numpy as np
from sacrebleu.metrics import BLEU, CHRF

from utils.confidence import bootstrap_interval
from utils.errors import UserError
from utils.languages import is_spaceless
from utils.lists import parse_key
from utils.normalization import choose_normalizer, get_normalizer

# force: no warning about text that looks tokenised; it does not change the figure.
_BLEU, _CHRF = BLEU(force=True), CHRF()

PROBLEM_LIMIT = 20


@dataclass(frozen=True)
class Utterance:
    """One target: what should have been said in it and what the decoder wrote."""

    key: str
    language: str  # Whisper code of the speech
    task: str
    speaker: str
    reference: str
    hypothesis: str


@dataclass(frozen=True)
class Metric:
    """A corpus score as a function of summed per-utterance statistics.

    ``statistics`` maps n references and n hypotheses to shape (n, k); ``score`` maps their sum, shape (k,),
    to a figure on the scale 0–100 (an error rate may exceed 100).
    """

    statistics: Callable[[Sequence[str], Sequence[str]], np.ndarray]
    score: Callable[[np.ndarray], float]
    signature: Callable[[], str | None]  # sacrebleu knows it only after scoring
    higher_is_better: bool


@dataclass(frozen=True)
class Measurement:
    """The statistics of one metric on the utterances it applies to, and the normaliser of each of them."""

    metric: str
    utterances: list[Utterance]
    normalizers: list[str]
    statistics: np.ndarray  # (utterances, k)


def split_tokens(text: str, metric: str) -> list[str]:
    """What an error rate counts: words for ``wer``, characters other than white space for ``cer``."""
    return text.split() if metric == "wer" else list("".join(text.split()))


def align(reference: str, hypothesis: str, metric: str) -> jiwer.WordOutput:
    """jiwer's alignment of one utterance in the units of ``metric``; either side may be empty."""
    return jiwer.process_words(" ".join(split_tokens(reference, metric)),
                               " ".join(split_tokens(hypothesis, metric)))


def _edit_statistics(metric: str) -> Callable[[Sequence[str], Sequence[str]], np.ndarray]:
    """Substitutions, deletions, insertions and reference length per utterance: shape (n, 4)."""

    def statistics(references: Sequence[str], hypotheses: Sequence[str]) -> np.ndarray:
        aligned = [align(*pair, metric) for pair in zip(references, hypotheses, strict=True)]
        return np.array([(out.substitutions, out.deletions, out.insertions, len(out.references[0]))
                         for out in aligned], dtype=float)

    return statistics


def _error_rate(sums: np.ndarray) -> float:
    """Per cent; insertions into utterances without a reference count, as in NIST's sclite."""
    return float(100 * sums[:3].sum() / sums[3]) if sums[3] else float("nan")


def _ngram_statistics(metric: BLEU | CHRF) -> Callable[[Sequence[str], Sequence[str]], np.ndarray]:
    """sacrebleu's own sentence statistics: shape (n, 10) for BLEU, (n, 18) for chrF.

    They have no public name in sacrebleu; the tests hold their sums against ``corpus_score``.
    """
    return lambda references, hypotheses: np.array(
        metric._extract_corpus_statistics(hypotheses, [references]), dtype=float)


def _ngram_score(metric: BLEU | CHRF) -> Callable[[np.ndarray], float]:
    return lambda sums: float(metric._compute_score_from_stats(sums.tolist()).score)


METRICS: dict[str, Metric] = {
    "wer": Metric(_edit_statistics("wer"), _error_rate, lambda: None, higher_is_better=False),
    "cer": Metric(_edit_statistics("cer"), _error_rate, lambda: None, higher_is_better=False),
    "bleu": Metric(_ngram_statistics(_BLEU), _ngram_score(_BLEU),
                   lambda: str(_BLEU.get_signature()), higher_is_better=True),
    "chrf": Metric(_ngram_statistics(_CHRF), _ngram_score(_CHRF),
                   lambda: str(_CHRF.get_signature()), higher_is_better=True),
}


def _missing(keys: Iterable[str], complaint: str) -> list[str]:
    keys = sorted(keys)
    more = [f"... and {len(keys) - PROBLEM_LIMIT} more"] if len(keys) > PROBLEM_LIMIT else []
    return [f"{len(keys)} {complaint}: {', '.join(keys[:PROBLEM_LIMIT] + more)}"] if keys else []


def pair_texts(references: Mapping[str, str], hypotheses: Mapping[str, str],
               utt2spk: Mapping[str, str] | None = None, where: str = "hypotheses") -> list[Utterance]:
    """Hypotheses beside their references, in the references' order.

    Args:
        references: text by key ``id|language|task``.
        hypotheses: text by key, possibly empty.
        utt2spk: speaker by key; without it, every utterance is its own speaker.
        where: what an error message calls the hypotheses, such as their file.

    Raises:
        UserError: the two do not have the same keys, or a key has no speaker.
    """
    problems = [
        *_missing(references.keys() - hypotheses.keys(), "references without a hypothesis (decode again)"),
        *_missing(hypotheses.keys() - references.keys(), "hypotheses without a reference (another --ref?)"),
        *_missing(references.keys() - (references if utt2spk is None else utt2spk).keys(),
                  "references without a speaker in utt2spk"),
    ]
    if problems:
        raise UserError("\n".join(f"{where}: {problem}" for problem in problems))
    parsed = {key: parse_key(key) for key in references}
    return [Utterance(key, parsed[key].language, parsed[key].task, key if utt2spk is None else utt2spk[key],
                      reference, hypotheses[key]) for key, reference in references.items()]


def _metrics_of(utterance: Utterance, error_metric: str) -> tuple[str, ...]:
    if utterance.task == "translate":
        return ("bleu", "chrf")
    if error_metric == "auto":
        return ("cer",) if is_spaceless(utterance.language) else ("wer",)
    return (error_metric,)


def normalize(utterances: Sequence[Utterance], normalizer: str) -> tuple[list[Utterance], list[str]]:
    """The utterances with both texts normalised, and the name of the normaliser each of them got."""
    names = [choose_normalizer(normalizer, utt.language, utt.task) for utt in utterances]
    functions = {name: get_normalizer(name) for name in set(names)}
    return [Utterance(utt.key, utt.language, utt.task, utt.speaker,
                      functions[name](utt.reference), functions[name](utt.hypothesis))
            for utt, name in zip(utterances, names, strict=True)], names


def measure(utterances: Sequence[Utterance], normalizer: str = "auto",
            metric: str = "auto") -> list[Measurement]:
    """Statistics of every metric that applies: WER or CER to transcriptions, BLEU and chrF to translations.

    Args:
        utterances: see :func:`pair_texts`.
        normalizer: ``auto`` or one of utils.normalization.NORMALIZERS.
        metric: of transcriptions: ``wer``, ``cer``, or ``auto`` (``cer`` for languages without spaces).
    """
    utterances, normalizers = normalize(utterances, normalizer)
    measurements = []
    for name in METRICS:
        chosen = [index for index, utt in enumerate(utterances) if name in _metrics_of(utt, metric)]
        if chosen:
            scored = [utterances[index] for index in chosen]
            statistics = METRICS[name].statistics([utt.reference for utt in scored],
                                                  [utt.hypothesis for utt in scored])
            measurements.append(Measurement(name, scored, [normalizers[i] for i in chosen], statistics))
    return measurements


def results(measurement: Measurement, decode: Mapping[str, Any],
            n_resamples: int = 1000) -> list[dict[str, Any]]:
    """The objects of results.json: one per language and one for ``all``, which pools the utterances.

    Args:
        measurement: see :func:`measure`.
        decode: decode.json's ``system``, ``set``, ``seconds`` and ``audio_seconds``, which are copied.
        n_resamples: of the bootstrap.

    Raises:
        UserError: the normaliser left no word in any reference of a language.
    """
    languages = np.array([utt.language for utt in measurement.utterances])
    rows = []
    for language in [*sorted(set(languages)), "all"]:
        chosen = np.flatnonzero((languages == language) | (language == "all"))
        rows.append(_result(measurement, chosen, language, decode, n_resamples))
    return rows


def _result(measurement: Measurement, chosen: np.ndarray, language: str, decode: Mapping[str, Any],
            n_resamples: int) -> dict[str, Any]:
    metric = METRICS[measurement.metric]
    statistics = measurement.statistics[chosen]
    value = metric.score(statistics.sum(axis=0))
    if np.isnan(value):
        raise UserError(f"{decode['set']}: all {len(chosen)} references in {language} are empty after the "
                        f"normalizer {measurement.normalizers[chosen[0]]}. Choose another --normalizer")
    speakers = [measurement.utterances[index].speaker for index in chosen]
    low, high = bootstrap_interval(statistics, speakers, metric.score, n_resamples)
    names = {measurement.normalizers[index] for index in chosen}
    return {
        "system": decode["system"], "set": decode["set"], "language": str(language),
        "task": measurement.utterances[chosen[0]].task, "metric": measurement.metric,
        "value": round(value, 4), "ci95": [round(low, 4), round(high, 4)], "n_utts": len(chosen),
        "seconds": decode["seconds"], "audio_seconds": decode["audio_seconds"],
        "normalizer": names.pop() if len(names) == 1 else "auto", "signature": metric.signature(),
    }
