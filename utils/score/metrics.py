"""Scores of hypotheses against references: statistics per utterance, and the figures that their sums give."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from sacrebleu import BLEU, CHRF

from utils.data.languages import is_spaceless, text_language
from utils.data.lists import parse_key
from utils.data.silent_references import reference_text
from utils.errors import UserError
from utils.score.alignment import Alignment, align
from utils.score.bootstrap import bootstrap_interval
from utils.score.normalization import KEEP_NUMBERS, choose_normalizer, named_normalizer, normalizer_signature
from utils.score.text_units import SPLITTERS, is_mixed, piece_splitter

# force: no warning about text that looks tokenised; it does not change the figure.
_NGRAM: dict[str, BLEU | CHRF] = {"bleu": BLEU(force=True), "chrf": CHRF()}
_piece_splitter = cache(piece_splitter)

PROBLEM_LIMIT = 20
_MIXED_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class TextPair:
    """One target: what should have been said in it and what the decoder wrote."""

    key: str
    language: str  # Whisper code of the speech
    task: str
    speaker: str
    reference: str
    hypothesis: str

    @property
    def text_language(self) -> str:
        """Whisper code of the language that both texts should be in."""
        return text_language(self.language, self.task)


@dataclass(frozen=True)
class ScoringOptions:
    """What is counted, and on which form of the texts."""

    normalizer: str = "auto"  # or one of utils.score.normalization.NORMALIZERS
    metric: str = "auto"  # of transcriptions: wer, cer, mer; auto: by language
    bpe_model: str | None = None  # for TER
    mixed: frozenset[str] = frozenset()  # languages that get MER beside CER, see mixed_languages()
    digits: str = "keep"  # or spell: numbers in digits are spelled out before texts are normalised
    unaccented: frozenset[str] = frozenset()  # languages of texts whose accents are dropped


@dataclass(frozen=True)
class Metric:
    """A corpus score as a function of summed per-utterance statistics.

    ``score`` maps a sum of statistics, shape (k,), to a figure on the scale 0–100 (an error rate may exceed 100).
    """

    score: Callable[[np.ndarray], float]
    signature: Callable[[], str | None]
    higher_is_better: bool


@dataclass(frozen=True)
class Measurement:
    """The statistics of one metric on the utterances it applies to, and the normaliser of each of them.

    ``statistics`` has shape (utterances, k): substitutions, deletions, insertions and reference length for error
    rates (k = 4), sacrebleu's sentence statistics for BLEU (10) and chrF (18). ``alignments`` are those of error
    rates; they are left out where many measurements were joined into one.
    """

    metric: str
    utterances: list[TextPair]
    normalizers: list[str]
    statistics: np.ndarray
    alignments: list[Alignment]


def _error_rate(sums: np.ndarray) -> float:
    """Per cent; insertions into utterances without a reference count, as in NIST's sclite."""
    return float(100 * sums[:3].sum() / sums[3]) if sums[3] else float("nan")


def _ngram_metric(metric: BLEU | CHRF) -> Metric:
    def signature() -> str:
        metric.corpus_score([""], [[""]])  # sacrebleu knows it only after scoring
        return str(metric.get_signature())

    return Metric(lambda sums: float(metric._compute_score_from_stats(sums.tolist()).score), signature,
                  higher_is_better=True)


ERROR_RATES = ("wer", "cer", "mer", "ter")
METRICS: dict[str, Metric] = {
    **dict.fromkeys(ERROR_RATES, Metric(_error_rate, lambda: None, higher_is_better=False)),
    "bleu": _ngram_metric(_NGRAM["bleu"]),
    "chrf": _ngram_metric(_NGRAM["chrf"]),
}


def _missing(keys: Iterable[str], complaint: str) -> list[str]:
    keys = sorted(keys)
    more = [f"... and {len(keys) - PROBLEM_LIMIT} more"] if len(keys) > PROBLEM_LIMIT else []
    return [f"{len(keys)} {complaint}: {', '.join(keys[:PROBLEM_LIMIT] + more)}"] if keys else []


def pair_texts(references: Mapping[str, str], hypotheses: Mapping[str, str],
               utt2spk: Mapping[str, str] | None = None, where: str = "hypotheses") -> list[TextPair]:
    """Hypotheses beside their references, in the references' order.

    Args:
        references: text by key ``id|language|task``; ``<nospeech>`` is an empty one.
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
    return [TextPair(key, parsed[key].language, parsed[key].task, key if utt2spk is None else utt2spk[key],
                      reference_text(reference), hypotheses[key]) for key, reference in references.items()]


def mixed_languages(utterances: Iterable[TextPair]) -> frozenset[str]:
    """Languages written without spaces whose transcriptions mix in words of Latin letters: one in ten or more."""
    seen: Counter[str] = Counter()
    mixed: Counter[str] = Counter()
    for utt in utterances:
        if utt.task == "transcribe" and is_spaceless(utt.language):
            seen[utt.language] += 1
            mixed[utt.language] += is_mixed(utt.reference)
    return frozenset(language for language, count in mixed.items() if count >= _MIXED_SHARE * seen[language])


def _metrics_of(utterance: TextPair, options: ScoringOptions) -> tuple[str, ...]:
    if utterance.task == "translate":
        return ("bleu", "chrf")
    tokens = ("ter",) if options.bpe_model else ()
    if options.metric != "auto":
        return (options.metric, *tokens)
    if not is_spaceless(utterance.language):
        return ("wer", *tokens)
    return ("cer", "mer", *tokens) if utterance.language in options.mixed else ("cer", *tokens)


def normalize(utterances: Sequence[TextPair], options: ScoringOptions) -> tuple[list[TextPair], list[str]]:
    """The utterances with both texts normalised, and the name of the normaliser each of them got: ``basic``,
    ``basic+spell`` where numbers were spelled out, ``basic+spell+unaccented`` where accents were dropped, too.

    Raises:
        UserError: see :func:`utils.score.normalization.get_normalizer`.
    """
    names, functions = [], []
    for utt in utterances:
        name = choose_normalizer(options.normalizer, utt.language, utt.task)
        if options.digits == "spell" and name not in KEEP_NUMBERS:  # whisper-en drops accents itself
            name += "+spell"
            if utt.text_language in options.unaccented:
                name += "+unaccented"
        functions.append(named_normalizer(name, utt.text_language))
        names.append(name)
    return [TextPair(utt.key, utt.language, utt.task, utt.speaker,
                      function(utt.reference), function(utt.hypothesis))
            for utt, function in zip(utterances, functions, strict=True)], names


def measure(utterances: Sequence[TextPair], options: ScoringOptions) -> list[Measurement]:
    """Statistics of every metric that applies: error rates to transcriptions, BLEU and chrF to translations.

    Raises:
        UserError: a normaliser or the vocabulary for TER is not there.
    """
    utterances, normalizers = normalize(utterances, options)
    measurements = []
    for name in METRICS:
        chosen = [index for index, utt in enumerate(utterances) if name in _metrics_of(utt, options)]
        if chosen:
            scored = [utterances[index] for index in chosen]
            statistics, alignments = _statistics(name, scored, options.bpe_model)
            measurements.append(Measurement(name, scored, [normalizers[i] for i in chosen], statistics, alignments))
    return measurements


def _statistics(metric: str, utterances: Sequence[TextPair],
                bpe_model: str | None) -> tuple[np.ndarray, list[Alignment]]:
    references, hypotheses = ([getattr(utt, side) for utt in utterances] for side in ("reference", "hypothesis"))
    if metric not in ERROR_RATES:
        # No public name in sacrebleu; the tests hold the sums against corpus_score.
        return np.array(_NGRAM[metric]._extract_corpus_statistics(hypotheses, [references]), dtype=np.int32), []
    split = _piece_splitter(bpe_model) if metric == "ter" else SPLITTERS[metric]
    alignments = align([*map(split, references)], [*map(split, hypotheses)])
    return np.array([alignment.counts() for alignment in alignments], dtype=np.int32), alignments


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
        "normalizer": names.pop() if len(names) == 1 else "auto", "signature": _signature(measurement, chosen),
    }


def _signature(measurement: Measurement, chosen: np.ndarray) -> str | None:
    """sacrebleu's signature, if the metric is its, and the version of the normaliser's rules."""
    texts = {(measurement.normalizers[index], measurement.utterances[index].text_language) for index in chosen}
    rules = {normalizer_signature(name, language) for name, language in texts}
    if len(rules) > 1:
        rules = {normalizer_signature(name, "") for name, _ in texts}
    parts = [METRICS[measurement.metric].signature(), *sorted(filter(None, rules))]
    return "|".join(filter(None, parts)) or None
