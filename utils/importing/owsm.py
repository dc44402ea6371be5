"""Data directories of ESPnet's OWSM: texts ``<fra><st_eng><0.00> text<1.20><1.40> text<3.00>`` for up to 30 s."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from utils.data.corpus_lists import LeftOut
from utils.errors import UserError
from utils.importing.found import Entry, Found, ImportOptions, target_by_languages
from utils.importing.kaldi import plain_list

_HEAD = re.compile(r"<(\w+)><(asr|st_(\w+))>")
_TIMED = re.compile(r"<(\d+\.\d+)>([^<]*)<(\d+\.\d+)>")


def read_owsm(source: str, options: ImportOptions) -> Iterator[Entry]:
    """Yield the utterances of a directory; a text with times gives one for each of its sentences.

    Raises:
        UserError: a list is missing or has a bad line, or a text does not begin with a language and a task.
    """
    directory = Path(source)
    audio = plain_list(directory / "wav.scp")
    for id_, value in plain_list(directory / "text").items():
        where = f"{directory}:{id_}"
        head = _HEAD.match(value)
        if head is None:
            raise UserError(f"{where}: {value[:40]!r} does not begin with <language><task>. Is it a directory of OWSM?")
        if id_ not in audio:
            yield LeftOut(where, "no audio", text=value)
            continue
        language, rest = head[1], value[head.end():]
        timed = _TIMED.findall(rest)
        pieces: list[tuple[str, float | None, float | None]] = [
            (text, float(start), float(end)) for start, text, end in timed]
        pieces = pieces or [(re.sub(r"<[^<>]*>", " ", rest), None, None)]
        for number, (text, start, end) in enumerate(pieces, 1):
            place = f"{where}, sentence {number}" if timed else where
            targets, reason = target_by_languages(" ".join(text.split()), language, head[3] or language, options.task)
            if reason:
                yield LeftOut(place, reason)
                continue
            yield Found(place, language, targets, audio[id_], f"{id_}-{number:03}" if timed else id_,
                        start=start, end=end)
