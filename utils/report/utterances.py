"""The utterances of a report: reference, every system's hypothesis with its differences marked, what is wrong."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from utils.data.lists import parse_key, read_list
from utils.errors import UserError
from utils.score.alignment import align
from utils.score.comparison import Decode, is_export
from utils.score.metrics import METRICS
from utils.score.score_files import read_statistics, read_suspects
from utils.score.text_units import split_keeping_space

_LISTED_METRICS = ("wer", "cer", "mer", "chrf")  # BLEU says nothing about one sentence


class MarkedSpan(NamedTuple):
    """A stretch of text: ``same``, ``sub`` (another word stands in the reference), ``ins``, ``del`` (is missing)."""

    kind: str
    text: str


@dataclass
class Hypothesis:
    """What one system wrote for an utterance."""

    system: str
    spans: list[MarkedSpan]
    score: str  # "WER 12", "chrF 45"
    badness: float  # per cent of errors, or 100 - chrF; what lists are sorted by
    suspects: list[str]


@dataclass
class ListedUtterance:
    """One target with everything that a report shows of it."""

    key: str
    set: str
    language: str
    task: str
    reference: str
    source: str = ""  # wav.scp value
    seconds: float | None = None
    hypotheses: list[Hypothesis] = field(default_factory=list)

    @property
    def badness(self) -> float:
        """Of the last system that was not exported: what the experiment is about."""
        own = [hypothesis for hypothesis in self.hypotheses if not is_export(hypothesis.system)]
        return (own or self.hypotheses)[-1].badness


def mark_differences(references: Sequence[str], hypotheses: Sequence[str]) -> list[list[MarkedSpan]]:
    """Each hypothesis as spans, words of the reference that it lacks included; case and punctuation do not count."""
    sides = [[_tokens(text) for text in texts] for texts in (references, hypotheses)]
    aligned = align(*([[_form(token) for token in tokens] for tokens in side] for side in sides))
    marked = []
    for reference, hypothesis, alignment in zip(*sides, aligned, strict=True):
        spans: list[MarkedSpan] = []
        for chunk in alignment.chunks:
            if chunk.type in ("delete", "substitute"):
                spans += [MarkedSpan("del", token) for token in reference[chunk.ref_start_idx:chunk.ref_end_idx]]
            kind = {"equal": "same", "substitute": "sub"}.get(chunk.type, "ins")
            spans += [MarkedSpan(kind, token) for token in hypothesis[chunk.hyp_start_idx:chunk.hyp_end_idx]]
        marked.append([MarkedSpan(kind, "".join(span.text for span in group))
                       for kind, group in groupby(spans, key=lambda span: span.kind)])
    return marked


def _tokens(text: str) -> list[str]:
    """Words or characters with the space and the punctuation after them."""
    tokens: list[str] = []
    for token in split_keeping_space(text):
        if tokens and not _letters(token):
            tokens[-1] += token
        else:
            tokens.append(token)
    return tokens


def _letters(token: str) -> str:
    return "".join(char for char in token.lower() if unicodedata.category(char)[0] in "LMN")


def _form(token: str) -> str:
    """What of a token is compared."""
    return _letters(token) or "".join(token.split())


def list_utterances(decodes: Sequence[Decode], data_dir: Path, limit: int) -> tuple[list[ListedUtterance], int]:
    """The utterances of one set with most errors of the tuned system, worst first.

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
    badness: dict[str, dict[str, tuple[str, float]]] = {decode.system: _scores(decode) for decode in decodes}
    leading = [decode.system for decode in decodes if not decode.is_exported] or [decodes[-1].system]
    worst = sorted(listed, key=lambda key: -badness[leading[-1]].get(key, ("", 0.0))[1])[:limit]
    for decode in decodes:
        _add_hypotheses(decode, {key: listed[key] for key in worst}, badness[decode.system])
    _add_audio({key: listed[key] for key in worst}, data_dir)
    return [listed[key] for key in worst], len(listed)


def _scores(decode: Decode) -> dict[str, tuple[str, float]]:
    """What is shown and the badness of every utterance, by key."""
    scores: dict[str, tuple[str, float]] = {}
    tables = read_statistics(decode.directory / "utterances.jsonl", _LISTED_METRICS)
    for metric, is_normalized in sorted(tables, key=lambda kind: (kind[1], _LISTED_METRICS.index(kind[0]))):
        table = tables[metric, is_normalized]
        for key, values in zip(table.keys, table.values, strict=True):
            if metric == "chrf":
                score = METRICS[metric].score(values)
                scores[key] = f"chrF {score:.0f}", 100 - score
            else:
                errors, length = int(values[:3].sum()), max(int(values[3]), 1)
                scores[key] = f"{errors} errors in {int(values[3])}", 100 * errors / length
    return scores


def _add_hypotheses(decode: Decode, listed: Mapping[str, ListedUtterance],
                    scores: Mapping[str, tuple[str, float]]) -> None:
    texts = read_list(decode.directory / "text", allow_empty=True)
    if missing := sorted(key for key in listed if key not in texts or key not in scores):
        raise UserError(f"{decode.directory}: no scored hypothesis for {missing[0]}. Score again: pyscripts/score.py")
    suspects: defaultdict[str, list[str]] = defaultdict(list)
    for suspect in read_suspects(decode.directory / "suspects.tsv"):
        suspects[suspect.key].append(suspect.kind)
    marked = mark_differences([utt.reference for utt in listed.values()], [texts[key] for key in listed])
    for (key, utt), spans in zip(listed.items(), marked, strict=True):
        utt.hypotheses.append(Hypothesis(decode.system, spans, *scores[key], suspects.get(key, [])))


def _add_audio(listed: Mapping[str, ListedUtterance], data_dir: Path) -> None:
    sources = read_list(data_dir / "wav.scp", verbatim=True) if (data_dir / "wav.scp").exists() else {}
    seconds = read_list(data_dir / "utt2dur") if (data_dir / "utt2dur").exists() else {}
    for key, utt in listed.items():
        utt.source = sources.get(key, "")
        utt.seconds = float(seconds[key]) if key in seconds else None
