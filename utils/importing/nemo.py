"""NeMo manifests: JSON lines with audio_filepath, offset, duration, text, and Canary's languages and tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from utils.data.corpus_lists import LeftOut
from utils.errors import UserError
from utils.importing.found import Entry, Found, ImportOptions, seconds_value, target_by_languages, text_value
from utils.importing.json_lines import read_json_lines
from utils.importing.tars import tar_members

_TRANSLATION = ("ast", "s2t_translation", "translate", "st")


def read_nemo(source: str, options: ImportOptions) -> Iterator[Entry]:
    """Yield the utterances of a manifest. Paths are relative to it; with ``--shards``, they are names in tar files.

    Raises:
        UserError: the manifest or an archive cannot be read, or a record has no audio_filepath or a value of a wrong
            type.
    """
    manifest = Path(source)
    inside = {name: content for archive in _shards(options.shards) for name, content in tar_members(archive)}
    if options.shards and not inside:
        raise UserError(f"--shards {options.shards}: no file there")
    for where, record in read_json_lines(manifest):
        yield _entry(where, record, manifest.parent, inside, options)


def _shards(pattern: str) -> list[Path]:
    path = Path(pattern)
    return sorted(path.parent.glob(path.name)) if pattern else []


def _entry(where: str, record: dict[str, Any], directory: Path, inside: dict[str, Callable[[], bytes]],
           options: ImportOptions) -> Entry:
    name = record.get("audio_filepath")
    if not isinstance(name, str) or not name:
        raise UserError(f"{where}: no audio_filepath. Is it a NeMo manifest?")
    text = text_value(record.get("answer", record.get("text")), where, "text")
    language = text_value(record.get("source_lang", record.get("lang")), where, "source_lang")
    task = text_value(record.get("taskname", record.get("task")), where, "taskname")
    targets, reason = target_by_languages(text, language or options.language,
                                 text_value(record.get("target_lang"), where, "target_lang"),
                                 "translate" if task.lower() in _TRANSLATION else options.task)
    if reason:
        return LeftOut(where, reason)
    if inside and name not in inside:
        return LeftOut(where, "its audio is in none of the shards", text=text)
    start, length = (seconds_value(record.get(key), where, key) for key in ("offset", "duration"))
    if start and length is None:
        return LeftOut(where, "an offset without a duration", text=text)
    speaker = str(record.get("speaker") or "")
    if inside:
        return Found(where, language, targets, content=inside[name], name=name, speaker=speaker)
    part = (start, start + length) if start is not None and length is not None else (None, None)
    return Found(where, language, targets, str(directory / name), speaker=speaker, start=part[0], end=part[1])
