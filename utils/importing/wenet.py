"""WeNet's data.list: JSON lines (key, wav, txt, and start and end with segments), or names of shards (tar files)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from utils.data.corpus_lists import LeftOut
from utils.errors import UserError
from utils.importing.found import Entry, Found, ImportOptions, seconds_value, text_value
from utils.importing.json_lines import read_json_lines
from utils.importing.tars import tar_members


def read_wenet(source: str, options: ImportOptions) -> Iterator[Entry]:
    """Yield the utterances of a data.list.

    Raises:
        UserError: the list or a shard cannot be read, or a record has no wav or a value of a wrong type.
    """
    path = Path(source)
    try:
        with path.open(encoding="utf-8-sig") as stream:
            first = next((line.strip() for line in stream if line.strip()), "")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read: {error}. Check the path") from None
    if first.startswith("{"):
        yield from _raw(path, options)
    else:
        for line in path.read_text(encoding="utf-8-sig").split("\n"):
            if line.strip():
                yield from _shard(_beside(line.strip(), path.parent), options)


def _beside(name: str, directory: Path) -> Path:
    return Path(name) if Path(name).exists() else directory / name


def _raw(path: Path, options: ImportOptions) -> Iterator[Entry]:
    for where, record in read_json_lines(path):
        wav = record.get("wav")
        if not isinstance(wav, str) or not wav:
            raise UserError(f"{where}: no wav. Is it WeNet's data.list?")
        text = text_value(record.get("txt"), where, "txt")
        if not text:
            yield LeftOut(where, "no text")
            continue
        start, end = (seconds_value(record.get(name), where, name) for name in ("start", "end"))
        if (start is None) != (end is None):
            yield LeftOut(where, "a start without an end, or the other way round", text=text)
            continue
        yield Found(where, text_value(record.get("lang"), where, "lang"), {options.task: text},
                    str(_beside(wav, path.parent)), text_value(record.get("key"), where, "key"),
                    text_value(record.get("speaker"), where, "speaker"), start, end)


def _shard(archive: Path, options: ImportOptions) -> Iterator[Entry]:
    """The utterances of a tar file: each has KEY.txt and an audio file KEY.wav, KEY.flac, ... beside it."""
    texts: dict[str, Callable[[], bytes]] = {}
    audio: dict[str, tuple[str, Callable[[], bytes]]] = {}
    for name, content in tar_members(archive):
        key, suffix = name.rpartition(".")[::2]
        if suffix == "txt":
            texts[key] = content
        else:
            audio[key] = (name, content)
    for key in dict.fromkeys([*audio, *texts]):
        where = f"{archive}:{key}"
        if key not in texts or key not in audio:
            yield LeftOut(where, "no text" if key in audio else "no audio")
            continue
        text = " ".join(texts[key]().decode("utf-8", "replace").split())
        yield Found(where, "", {options.task: text}, id=PurePosixPath(key).name, content=audio[key][1],
                    name=audio[key][0]) if text else LeftOut(where, "no text")
