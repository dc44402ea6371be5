"""Hugging Face datasets: names on the hub, directories of save_to_disk, audio folders, parquet files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from utils.cli import log
from utils.data.corpus_lists import LeftOut
from utils.data.tables import TableForm, read_table
from utils.errors import UserError
from utils.importing.found import Entry, Found, ImportOptions, text_value

# Usual names by meaning; the first that a data set has is taken, and logged.
_NAMES = {
    "audio": ("audio", "file", "path"),
    "text": ("transcription", "sentence", "text", "transcript", "normalized_text", "raw_transcription"),
    "translation": ("translation", "translation_en", "english", "target_text"),
    "language": ("language", "lang", "locale", "lang_id"),
    "speaker": ("speaker_id", "speaker", "client_id"),
    "id": ("id", "utt_id", "segment_id", "utterance_id"),
}


def read_hf_datasets(source: str, options: ImportOptions) -> Iterator[Entry]:
    """Yield the utterances of a data set.

    Raises:
        UserError: the package datasets is not installed, the data set cannot be loaded or has no audio, or a column is
            not there or has a value of a wrong type.
    """
    if metadata := _metadata(Path(source), options.split):
        yield from _audio_folder(metadata, options)
        return
    try:
        import datasets
    except ImportError:
        raise UserError("--from datasets needs a package: pip install -r tools/requirements-import.txt") from None
    try:
        loaded = _load(source, options, datasets)
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(f"{source}: datasets cannot load it: {next(iter(str(error).splitlines()), repr(error))}") \
            from None
    names = _columns(source, list(loaded.features or loaded.column_names or []), options)
    if isinstance(loaded.features.get(names["audio"]), datasets.Audio):
        loaded = loaded.cast_column(names["audio"], datasets.Audio(decode=False))
    classes = {name: feature for name, feature in loaded.features.items() if isinstance(feature, datasets.ClassLabel)}
    base = Path(source) if Path(source).is_dir() else Path()
    for number, row in enumerate(loaded, 1):
        row = dict(row) | {name: feature.int2str(row[name]) for name, feature in classes.items()
                           if row[name] is not None}
        yield _entry(f"{source}:{number}", row, names, base, options)


def _metadata(directory: Path, split: str) -> Path | None:
    """The table of an audio folder, there or in the directory of the split; None if it is no such folder."""
    names = (place / f"metadata.{suffix}" for place in (directory, directory / split) for suffix in ("csv", "jsonl"))
    return next((path for path in names if path.is_file()), None)


def _audio_folder(metadata: Path, options: ImportOptions) -> Iterator[Entry]:
    """The rows of an audio folder's table. datasets itself would ask for torchcodec, to read what is only named."""
    names = {meaning: (options.columns[meaning],) if meaning in options.columns else usual
             for meaning, usual in _NAMES.items()}
    others = [name for meaning in ("language", "speaker", "id") for name in names[meaning]]
    form = TableForm("file_name", (*names["text"], *names["translation"]), others, missing=())
    for row in read_table(metadata, form):
        found = {meaning: next((row.columns[name] for name in usual if name in row.columns), "")
                 for meaning, usual in names.items()}
        yield Found(row.where, found["language"], {options.task: found["text"]} | (
            {"translate": found["translation"]} if found["translation"] else {}),
            str(metadata.parent / row.columns["file_name"]), found["id"], found["speaker"])


def _load(source: str, options: ImportOptions, datasets: Any) -> Any:
    """The split of a data set; nothing that comes with it is run."""
    path = Path(source)
    if (path / "dataset_info.json").is_file() or (path / "dataset_dict.json").is_file():
        loaded = datasets.load_from_disk(source)
        if isinstance(loaded, datasets.DatasetDict):
            if options.split not in loaded:
                raise UserError(f"--split {options.split}: {source} has {', '.join(loaded)}")
            return loaded[options.split]
        return loaded
    if path.is_file() or sorted(path.glob("*.parquet")):
        files = source if path.is_file() else sorted(map(str, path.glob("*.parquet")))
        return datasets.load_dataset("parquet", data_files={"train": files}, split="train")
    if path.is_dir():
        raise UserError(f"{source}: no dataset_info.json, no parquet files, and no metadata.csv or metadata.jsonl")
    return datasets.load_dataset(source, options.config or None, split=options.split, streaming=options.streaming)


def _columns(source: str, there: list[str], options: ImportOptions) -> dict[str, str]:
    """The column of each meaning; a UserError if a named one, or the audio, is not there."""
    if missing := [name for name in options.columns.values() if name not in there]:
        raise UserError(f"--columns: {source} has no column {missing[0]}, but {', '.join(there)}")
    names = {meaning: next((name for name in usual if name in there), "") for meaning, usual in _NAMES.items()}
    names |= options.columns
    if not names["audio"] or not (names["text"] or names["translation"]):
        raise UserError(f"{source}: which columns are audio and text? Name them: --columns \"audio=… text=…\"; it has "
                        f"{', '.join(there)}")
    log(f"{source}: " + ", ".join(f"{meaning} is {name}" for meaning, name in names.items() if name)
        + "; --columns names others")
    return names


def _entry(where: str, row: dict[str, Any], names: dict[str, str], base: Path, options: ImportOptions) -> Entry:
    language = text_value(row.get(names["language"]), where, "language") if names["language"] else ""
    value = row.get(names["text"]) if names["text"] else None
    translation = row.get(names["translation"]) if names["translation"] else None
    if isinstance(translation, dict):  # {"fr": ..., "en": ...}, as in data sets of translation
        others = [code for code in translation if code != "en"]
        language = language or (others[0] if len(others) == 1 else "")
        value = value or translation.get(language or options.language)
        translation = translation.get("en")
    targets = {options.task: text_value(value, where, names["text"] or "text")}
    targets |= {"translate": said} if (said := text_value(translation, where, "translation")) else {}
    if not any(targets.values()):
        return LeftOut(where, "no text")
    speaker, id_ = (str(row[names[key]]) if names[key] and row[names[key]] is not None else "" for key in
                    ("speaker", "id"))
    audio = row.get(names["audio"])
    path = audio.get("path") if isinstance(audio, dict) else audio
    data = audio.get("bytes") if isinstance(audio, dict) else None
    if data is None:
        return Found(where, language, targets, str(base / path), id_, speaker) if isinstance(path, str) else \
            LeftOut(where, "no audio")
    return Found(where, language, targets, "", id_, speaker, content=_bytes(data),
                 name=path or f"row-{where.rpartition(':')[2]}")


def _bytes(data: bytes) -> Callable[[], bytes]:
    return lambda: data
