"""The files that scoring writes into a decode directory: statistics, sclite's trn files, alignments, suspects."""

from __future__ import annotations

import json
import shutil
import sys
from array import array
from collections.abc import Collection, Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from utils.errors import UserError
from utils.filesystem import atomic_directory, atomic_open
from utils.score.alignment import show
from utils.score.forms import form_of
from utils.score.metrics import Measurement, TextPair
from utils.score.suspects import Suspect

_BODY = "alignments.partial"


class Statistics(NamedTuple):
    """Sufficient statistics of one metric, a row per utterance; ``values`` has shape (utterances, k)."""

    keys: list[str]
    speakers: list[str]
    normalizers: list[str]
    values: np.ndarray


class Rendered(NamedTuple):
    """Text for the files of a ScoreDirectory."""

    references: str
    hypotheses: str
    alignments: str


def statistics_lines(measurement: Measurement, form: str) -> str:
    """The statistics of every utterance, one JSON object a line, as utterances.jsonl has them for paired tests."""
    rows = zip(measurement.utterances, measurement.normalizers, measurement.statistics.tolist(), strict=True)
    return "".join(json.dumps({"key": utt.key, "metric": measurement.metric, "form": form, "normalizer": normalizer,
                               "speaker": utt.speaker, "statistics": values}, ensure_ascii=False) + "\n"
                   for utt, normalizer, values in rows)


def read_statistics(path: Path, metrics: Collection[str]) -> dict[tuple[str, str], Statistics]:
    """Statistics of some metrics, by metric and form of the texts.

    Raises:
        UserError: the file is missing or was not written by pyscripts/score.py.
    """
    found: dict[tuple[str, str], tuple[list[str], list[str], list[str], array[int]]] = {}
    try:
        with path.open(encoding="utf-8") as stream:
            for line in stream:
                record = json.loads(line)
                if record["metric"] in metrics:
                    kind = record["metric"], form_of(record)
                    keys, speakers, normalizers, values = found.setdefault(kind, ([], [], [], array("l")))
                    keys.append(sys.intern(record["key"]))  # one copy for all metrics and systems
                    speakers.append(sys.intern(record["speaker"]))
                    normalizers.append(sys.intern(record["normalizer"]))
                    values.extend(record["statistics"])
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(f"{path}: missing or damaged. Score again: pyscripts/score.py") from None
    return {kind: Statistics(keys, speakers, normalizers, np.array(values).reshape(len(keys), -1))
            for kind, (keys, speakers, normalizers, values) in found.items()}


class ScoreDirectory:
    """A directory score_METRIC, written chunk by chunk; it replaces an older one as a whole when it is closed.

    sclite can read ref.trn and hyp.trn (units separated by spaces, key in brackets); result.txt is in its style.
    """

    def __init__(self, directory: Path) -> None:
        self._exit = ExitStack()
        self._new = self._exit.enter_context(atomic_directory(directory))
        self._streams = {name: self._exit.enter_context((self._new / name).open("w", encoding="utf-8", newline="\n"))
                         for name in ("ref.trn", "hyp.trn", _BODY)}

    def __enter__(self) -> ScoreDirectory:
        return self

    def __exit__(self, *error: Any) -> None:
        self._exit.__exit__(*error)

    def add(self, rendered: Rendered) -> None:
        """Append the lines of some utterances."""
        for stream, text in zip(self._streams.values(), rendered, strict=True):
            stream.write(text)

    def finish(self, head: str) -> None:
        """Write result.txt: ``head``, then all alignments."""
        self._streams[_BODY].close()
        with (self._new / "result.txt").open("w", encoding="utf-8", newline="\n") as result:
            result.write(head + "\n\n")
            with (self._new / _BODY).open(encoding="utf-8", newline="\n") as body:
                shutil.copyfileobj(body, result)
        (self._new / _BODY).unlink()


def render_alignments(measurement: Measurement) -> Rendered:
    """The lines of ref.trn and hyp.trn and the blocks of result.txt for the utterances of an error rate."""
    pairs = [*zip(measurement.utterances, measurement.alignments, strict=True)]
    return Rendered("".join(_trn_line(alignment.reference, utt) for utt, alignment in pairs),
                    "".join(_trn_line(alignment.hypothesis, utt) for utt, alignment in pairs),
                    "".join(show(utt.key, alignment) + "\n\n" for utt, alignment in pairs))


def _trn_line(units: list[str], utterance: TextPair) -> str:
    return " ".join([*units, f"({utterance.key})"]) + "\n"


def write_suspects(path: Path, suspects: Iterable[Suspect], hypotheses: Mapping[str, str]) -> None:
    """Write ``key kind detail hypothesis`` lines, tab-separated."""
    with atomic_open(path) as stream:
        stream.writelines("\t".join([*suspect, hypotheses[suspect.key]]) + "\n" for suspect in suspects)


def read_suspects(path: Path) -> list[Suspect]:
    """The suspects that :func:`write_suspects` wrote; an empty list if there is no such file."""
    if not path.exists():
        return []
    return [Suspect(*line.split("\t")[:3]) for line in path.read_text(encoding="utf-8").splitlines()]
