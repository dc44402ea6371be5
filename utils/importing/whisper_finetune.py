"""JSON lines of Whisper-Finetune: audio.path, sentence, sentences with times, language."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from utils.data.corpus_lists import LeftOut
from utils.errors import UserError
from utils.importing.found import Entry, Found, ImportOptions, seconds_value, text_value
from utils.importing.json_lines import read_json_lines


def read_whisper_finetune(source: str, options: ImportOptions) -> Iterator[Entry]:
    """Yield the utterances of a file; a record whose sentences have times gives one for each of them.

    Raises:
        UserError: the file cannot be read, or a record has no audio.path or a value of a wrong type.
    """
    for where, record in read_json_lines(Path(source)):
        yield from _entries(where, record, Path(source).parent, options)


def _entries(where: str, record: dict[str, Any], directory: Path, options: ImportOptions) -> Iterator[Entry]:
    audio = record.get("audio")
    name = audio.get("path") if isinstance(audio, dict) else None
    if not isinstance(name, str) or not isinstance(audio, dict):
        raise UserError(f"{where}: no audio.path. Is it a list of Whisper-Finetune?")
    path = str(name if Path(name).exists() else directory / name)
    language = text_value(record.get("language"), where, "language")
    begin, finish = (seconds_value(audio.get(key), where, f"audio.{key}") for key in ("start_time", "end_time"))
    sentences = record.get("sentences")
    if isinstance(sentences, list) and sentences and all(isinstance(one, dict) for one in sentences):
        for number, sentence in enumerate(sentences, 1):
            place = f"{where}, sentence {number}"
            text = text_value(sentence.get("text"), place, "text")
            start, end = (seconds_value(sentence.get(key), place, key) for key in ("start", "end"))
            if not text or start is None or end is None:
                yield LeftOut(place, "no text" if not text else "no times", text=text)
                continue
            yield Found(place, language, {options.task: text}, path, start=(begin or 0) + start,
                        end=(begin or 0) + end)
        return
    text = text_value(record.get("sentence"), where, "sentence")
    whole = begin is None or finish is None
    yield Found(where, language, {options.task: text}, path, start=None if whole else begin,
                end=None if whole else finish) if text else LeftOut(where, "no text")
