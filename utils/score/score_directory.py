"""Scoring a decode directory in chunks, on several cores: a million utterances in minutes, in bounded memory.

Only the two lists and a few counts for each utterance are held in memory. Normalised texts, alignments and records go
to their files as soon as a chunk is done.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from utils.cli import progress
from utils.filesystem import atomic_open
from utils.score import language_id
from utils.score.error_analysis import Confusions, confusion_tables, counted, summary_table, worst_table
from utils.score.forms import FORMS, RAW, SPOKEN, WRITTEN
from utils.score.metrics import ERROR_RATES, Measurement, ScoringOptions, TextPair, measure, results
from utils.score.score_files import Rendered, ScoreDirectory, render_alignments, statistics_lines, write_suspects
from utils.score.suspects import Suspect, find_faults

CHUNK = 2000  # utterances


class Part(NamedTuple):
    """A worker's result for one metric on one chunk."""

    metric: str
    form: str  # of the texts, see utils.score.forms
    indices: np.ndarray  # of the utterances, in the whole set
    normalizers: list[str]
    statistics: np.ndarray
    lines: str  # of utterances.jsonl
    rendered: Rendered | None
    confusions: Confusions


@dataclass
class _Joined:
    """The parts of one metric that are done so far."""

    parts: list[Part] = field(default_factory=list)
    confusions: Confusions = field(default_factory=Confusions)

    def add(self, part: Part) -> None:
        self.confusions.merge(part.confusions)
        self.parts.append(part._replace(lines="", rendered=None, confusions=Confusions()))

    def measurement(self, utterances: Sequence[TextPair]) -> Measurement:
        """The measurement of all utterances; their texts are those before normalisation."""
        indices = np.concatenate([part.indices for part in self.parts])
        return Measurement(self.parts[0].metric, [utterances[index] for index in indices],
                           [name for part in self.parts for name in part.normalizers],
                           np.concatenate([part.statistics for part in self.parts]), [])


class _Work(NamedTuple):
    """The input of the workers; they are forked, so that it is not copied."""

    utterances: Sequence[TextPair]
    references: Mapping[str, str]  # by key, to find that of the other task
    options: ScoringOptions


_work: _Work


def score_directory(decode_dir: Path, decode: Mapping[str, Any], utterances: Sequence[TextPair],
                    options: ScoringOptions, n_resamples: int, nj: int) -> list[dict[str, Any]]:
    """Score a decode and write utterances.jsonl, suspects.tsv and score_{wer,cer,mer,ter}/ into its directory.

    Args:
        decode_dir: where the files go. They appear together at the end, or not at all.
        decode: decode.json, see utils.score.metrics.results.
        utterances: see utils.score.metrics.pair_texts.
        options: normaliser and metrics of the leading form; the others are scored, too.
        n_resamples: of the bootstrap.
        nj: number of processes.

    Returns:
        The objects of scores.json: those of the leading form, then the others.

    Raises:
        UserError: see utils.score.metrics.measure and results.
    """
    joined: dict[tuple[str, str], _Joined] = {}
    main = next(iter(_scored_forms(options)))
    suspects: list[Suspect] = []
    with ExitStack() as stack:
        records = stack.enter_context(atomic_open(decode_dir / "utterances.jsonl"))
        directories: dict[str, ScoreDirectory] = {}
        for parts, found in _chunks(utterances, options, nj):
            suspects += found
            for part in parts:
                if part.rendered and part.metric not in directories:
                    directory = ScoreDirectory(decode_dir / f"score_{part.metric}")
                    directories[part.metric] = stack.enter_context(directory)
                if part.rendered:
                    directories[part.metric].add(part.rendered)
                records.write(part.lines)
                joined.setdefault((part.form, part.metric), _Joined()).add(part)
        rows = []
        for (form, metric), of_metric in sorted(joined.items(), key=lambda item: FORMS.index(item[0][0])):
            measurement = of_metric.measurement(utterances)
            rows += [{**row, "form": form} for row in results(measurement, decode, n_resamples)]
            if metric in directories and form == main:
                directories[metric].finish(_head(measurement, of_metric.confusions, suspects))
        write_suspects(decode_dir / "suspects.tsv", suspects, {utt.key: utt.hypothesis for utt in utterances})
    return rows


def _chunks(utterances: Sequence[TextPair], options: ScoringOptions,
            nj: int) -> Iterator[tuple[list[Part], list[Suspect]]]:
    global _work
    _work = _Work(utterances, {utt.key: utt.reference for utt in utterances}, options)
    starts = range(0, len(utterances), CHUNK)

    def shown(chunks: Iterable[tuple[list[Part], list[Suspect]]]) -> Iterable[tuple[list[Part], list[Suspect]]]:
        return progress(chunks, "scoring", len(starts), f"x{CHUNK} utt")

    if nj == 1 or len(starts) == 1:
        yield from shown(map(_score_chunk, starts))
        return
    language_id.load()
    with multiprocessing.get_context("fork").Pool(nj) as pool:
        yield from shown(pool.imap(_score_chunk, starts))


def _score_chunk(start: int) -> tuple[list[Part], list[Suspect]]:
    utterances, references, options = _work.utterances[start:start + CHUNK], _work.references, _work.options
    forms = _scored_forms(options)
    parts = [_part(measurement, start, form, is_main=form == next(iter(forms)))
             for form, of_form in forms.items() for measurement in measure(utterances, of_form)]
    return parts, [suspect for utt in utterances for suspect in find_faults(utt, references.get(_other_key(utt)))]


def _scored_forms(options: ScoringOptions) -> dict[str, ScoringOptions]:
    """The options of each form that is scored, the leading one first."""
    forms = {}
    written = replace(options, digits="keep", unaccented=frozenset())
    if options.digits == "spell":
        forms[SPOKEN] = options
    if options.normalizer != "none":
        forms[WRITTEN] = written
    return {**forms, RAW: replace(written, normalizer="none")}


def _other_key(utterance: TextPair) -> str:
    stem, _, task = utterance.key.rpartition("|")
    return f"{stem}|{'translate' if task == 'transcribe' else 'transcribe'}"


def _part(measurement: Measurement, start: int, form: str, is_main: bool) -> Part:
    index_of = {utt.key: index for index, utt in enumerate(_work.utterances[start:start + CHUNK], start)}
    rendered, confusions = None, Confusions()
    if is_main and measurement.metric in ERROR_RATES:
        rendered = render_alignments(measurement)
        confusions.add(measurement.alignments)
    return Part(measurement.metric, form, np.array([index_of[utt.key] for utt in measurement.utterances]),
                measurement.normalizers, measurement.statistics, statistics_lines(measurement, form), rendered,
                confusions)


def _head(measurement: Measurement, confusions: Confusions, suspects: Sequence[Suspect]) -> str:
    """The part of result.txt above the alignments."""
    scored = {utt.key for utt in measurement.utterances}
    kinds = [suspect.kind for suspect in suspects if suspect.key in scored]
    return "\n\n".join([summary_table(measurement),
                        f"SUSPICIOUS OUTPUTS (../suspects.tsv): {counted(kinds) or 'none'}",
                        confusion_tables(confusions), worst_table(measurement), "ALIGNMENTS"])
