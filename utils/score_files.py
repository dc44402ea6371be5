"""The files of a decode directory: decode.json in; scores, sclite's trn files and alignments out."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import jiwer

from utils.errors import UserError
from utils.filesystem import atomic_directory, atomic_open
from utils.scoring import Measurement, Utterance, align, split_tokens

DECODE_KEYS = ("system", "set", "seconds", "audio_seconds")


class Statistics(NamedTuple):
    """One utterance's sufficient statistics of one metric."""

    speaker: str
    values: list[float]


def read_decode_info(decode_dir: str | Path) -> dict[str, Any]:
    """decode.json, which says what was decoded, by what and how fast.

    Raises:
        UserError: missing, no JSON object, or without one of DECODE_KEYS.
    """
    path = Path(decode_dir) / "decode.json"
    info = read_json(path, "Decode first: pyscripts/predict.py")
    missing = [key for key in DECODE_KEYS if key not in info] if isinstance(info, dict) else DECODE_KEYS
    if missing:
        raise UserError(f"{path}: no {', '.join(missing)}. Decode again: pyscripts/predict.py")
    return info


def read_json(path: Path, remedy: str) -> Any:
    """The contents of a JSON file.

    Raises:
        UserError: it cannot be read or is no JSON; the message ends with ``remedy``.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}. {remedy}") from None
    except ValueError as error:
        raise UserError(f"{path}: not JSON: {error}. {remedy}") from None


def write_json(path: Path, value: Any) -> None:
    """Indented JSON with a final line end; the file appears whole or not at all."""
    with atomic_open(path) as stream:
        stream.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_statistics(path: Path, measurements: Iterable[Measurement]) -> None:
    """Write every utterance's statistics, one JSON object a line; paired tests need them, users may."""
    with atomic_open(path) as stream:
        for measurement in measurements:
            counts = measurement.statistics.astype(int).tolist()
            for utt, normalizer, values in zip(measurement.utterances, measurement.normalizers, counts,
                                               strict=True):
                record = {"key": utt.key, "metric": measurement.metric, "normalizer": normalizer,
                          "speaker": utt.speaker, "statistics": values}
                stream.write(json.dumps(record, ensure_ascii=False) + "\n")


def read_statistics(path: Path) -> dict[tuple[str, bool], dict[str, Statistics]]:
    """Statistics by (metric, whether on normalised text), then by key.

    Raises:
        UserError: the file is missing or was not written by :func:`write_statistics`.
    """
    found: dict[tuple[str, bool], dict[str, Statistics]] = {}
    try:
        with path.open(encoding="utf-8") as stream:
            for line in stream:
                record = json.loads(line)
                kind = record["metric"], record["normalizer"] != "none"
                values = Statistics(record["speaker"], record["statistics"])
                found.setdefault(kind, {})[record["key"]] = values
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(f"{path}: missing or damaged. Score again: pyscripts/score.py") from None
    return found


def write_alignments(score_dir: Path, measurement: Measurement) -> None:
    """Write ref.trn and hyp.trn as sclite reads them (tokens apart, key in brackets), and result.txt.

    ``score_dir`` is replaced as a whole.
    """
    with atomic_directory(score_dir) as directory:
        for name, texts in (("ref", [utt.reference for utt in measurement.utterances]),
                            ("hyp", [utt.hypothesis for utt in measurement.utterances])):
            with atomic_open(directory / f"{name}.trn") as stream:
                stream.writelines(_trn_line(text, utt, measurement.metric)
                                  for text, utt in zip(texts, measurement.utterances, strict=True))
        with atomic_open(directory / "result.txt") as stream:
            stream.write(_summary(measurement) + "\n\n")
            stream.writelines(_alignment(utt, measurement.metric) + "\n\n" for utt in measurement.utterances)


def _trn_line(text: str, utterance: Utterance, metric: str) -> str:
    return " ".join([*split_tokens(text, metric), f"({utterance.key})"]) + "\n"


def _summary(measurement: Measurement) -> str:
    """Counts of the whole set, in sclite's letters: Correct, Substitutions, Deletions, Insertions."""
    substitutions, deletions, insertions, length = measurement.statistics.sum(axis=0).astype(int).tolist()
    normalizers = ", ".join(sorted(set(measurement.normalizers)))
    hits = length - substitutions - deletions
    return (f"{measurement.metric.upper()}, normalizer {normalizers}, "
            f"{len(measurement.utterances)} utterances, {length} reference tokens\n"
            f"Scores: (#C #S #D #I) {hits} {substitutions} {deletions} {insertions}")


def _alignment(utterance: Utterance, metric: str) -> str:
    out = align(utterance.reference, utterance.hypothesis, metric)
    shown = jiwer.visualize_alignment(out, show_measures=False, skip_correct=False)
    lines = [line.rstrip() for line in shown.splitlines()[2:]]  # not "=== SENTENCE 1 ===" and the blank line
    counts = f"{out.hits} {out.substitutions} {out.deletions} {out.insertions}"
    return "\n".join([f"id: {utterance.key}", f"Scores: (#C #S #D #I) {counts}", *lines]).rstrip()
