"""The utterances that report.html lists: reference, hypotheses with marked differences, scores, suspicious signs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from utils.data.languages import text_language
from utils.data.lists import parse_key, read_list
from utils.data.segments import read_sources
from utils.errors import UserError
from utils.report.differences import MarkedSpan, mark_differences
from utils.score.comparison import Decode, is_export
from utils.score.forms import FORMS
from utils.score.metrics import METRICS
from utils.score.normalization import named_normalizer
from utils.score.score_files import read_statistics, read_suspects

_LISTED_METRICS = ("wer", "cer", "mer", "chrf")  # BLEU says nothing about one sentence


class _Score(NamedTuple):
    """The score of one hypothesis that is listed."""

    text: str  # "2 errors in 7", "chrF 45"
    error_score: float  # per cent of errors, or 100 - chrF
    normalizer: str  # as utterances.jsonl names it


@dataclass
class Hypothesis:
    """One system's hypothesis for an utterance, as the report shows it."""

    system: str
    spans: list[MarkedSpan]
    score: str  # "2 errors in 7", "chrF 45"
    error_score: float  # per cent of errors, or 100 - chrF; lists are sorted by it
    suspects: list[str]


@dataclass
class ListedUtterance:
    """One key with everything that the report shows of it."""

    key: str
    set: str
    language: str
    task: str
    reference: str
    source: str = ""  # wav.scp value
    seconds: float | None = None
    hypotheses: list[Hypothesis] = field(default_factory=list)

    @property
    def error_score(self) -> float:
        """The score of the last system that is not exported, which is the tuned one, or of the last export."""
        own = [hypothesis for hypothesis in self.hypotheses if not is_export(hypothesis.system)]
        return (own or self.hypotheses)[-1].error_score


def list_utterances(decodes: Sequence[Decode], data_dir: Path, limit: int) -> tuple[list[ListedUtterance], int]:
    """The utterances of one set in which the tuned system has the most errors, the worst first.

    Args:
        decodes: of one set, in the order in which they are shown.
        data_dir: data/SET with ``text``; ``wav.scp`` and ``utt2dur`` are used if they are there.
        limit: how many at most.

    Returns:
        The utterances, and how many there are in all.

    Raises:
        UserError: a list is missing, or hypotheses do not belong to these references.
    """
    references = read_list(data_dir / "text")
    listed = {key: ListedUtterance(key, decodes[0].set, parse_key(key).language, parse_key(key).task, text)
              for key, text in references.items()}
    scores = {decode.system: _scores(decode) for decode in decodes}
    leading = [decode.system for decode in decodes if not decode.is_exported] or [decodes[-1].system]
    error_scores = {key: score.error_score for key, score in scores[leading[-1]].items()}
    worst = sorted(listed, key=lambda key: -error_scores.get(key, 0.0))[:limit]
    for decode in decodes:
        _add_hypotheses(decode, {key: listed[key] for key in worst}, scores[decode.system])
    _add_audio({key: listed[key] for key in worst}, data_dir)
    return [listed[key] for key in worst], len(listed)


def _scores(decode: Decode) -> dict[str, _Score]:
    """The score of every utterance, by key: of the leading form that its metric has."""
    scores: dict[str, _Score] = {}
    tables = read_statistics(decode.directory / "utterances.jsonl", _LISTED_METRICS)
    for metric, form in sorted(tables, key=lambda kind: (-FORMS.index(kind[1]), _LISTED_METRICS.index(kind[0]))):
        table = tables[metric, form]
        for key, normalizer, values in zip(table.keys, table.normalizers, table.values, strict=True):
            if metric == "chrf":
                score = METRICS[metric].score(values)
                scores[key] = _Score(f"chrF {score:.0f}", 100 - score, normalizer)
            else:
                errors, length = int(values[:3].sum()), max(int(values[3]), 1)
                scores[key] = _Score(f"{errors} errors in {int(values[3])}", 100 * errors / length, normalizer)
    return scores


def _add_hypotheses(decode: Decode, listed: Mapping[str, ListedUtterance], scores: Mapping[str, _Score]) -> None:
    texts = read_list(decode.directory / "text", allow_empty=True)
    if missing := sorted(key for key in listed if key not in texts or key not in scores):
        raise UserError(f"{decode.directory}: no scored hypothesis for {missing[0]}. Score again: pyscripts/score.py")
    suspects: defaultdict[str, list[str]] = defaultdict(list)
    for suspect in read_suspects(decode.directory / "suspects.tsv"):
        suspects[suspect.key].append(suspect.kind)
    normalizers = [named_normalizer(scores[key].normalizer, text_language(utt.language, utt.task))
                   for key, utt in listed.items()]
    marked = mark_differences([utt.reference for utt in listed.values()], [texts[key] for key in listed], normalizers)
    for (key, utt), spans in zip(listed.items(), marked, strict=True):
        utt.hypotheses.append(Hypothesis(decode.system, spans, scores[key].text, scores[key].error_score,
                                         suspects.get(key, [])))


def _add_audio(listed: Mapping[str, ListedUtterance], data_dir: Path) -> None:
    sources = read_sources(data_dir / "wav.scp") if (data_dir / "wav.scp").exists() else {}
    seconds = read_list(data_dir / "utt2dur") if (data_dir / "utt2dur").exists() else {}
    for key, utt in listed.items():
        utt.source = sources.get(key, "")
        utt.seconds = float(seconds[key]) if key in seconds else None
