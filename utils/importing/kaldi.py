"""Data directories of Kaldi and ESPnet with plain utterance ids: wav.scp, segments, text, utt2spk, utt2lang."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from utils.audio.ark_audio import split_ark_place
from utils.audio.sources import is_pipe
from utils.data.corpus_lists import LeftOut
from utils.errors import UserError
from utils.importing.found import Entry, Found, ImportOptions, seconds_value

_CASES = ("tc", "lc", "lc.rm")  # of ESPnet's texts: truecased first, lower case, lower case without punctuation


def read_kaldi(source: str, options: ImportOptions) -> Iterator[Entry]:
    """Yield the utterances of a data directory.

    ``text`` is what ``--task`` says; ESPnet's ``text.tc.en`` is the translation, unless the speech is English, and
    ``src_text`` the transcript.

    Raises:
        UserError: a list is missing or has a bad line.
    """
    directory = Path(source)
    audio = {id_: _resolved(value, directory) for id_, value in plain_list(directory / "wav.scp").items()}
    segments = plain_list(directory / "segments") if (directory / "segments").is_file() else None
    texts = _texts(directory, options)
    speakers, languages = (plain_list(directory / name) if (directory / name).is_file() else {}
                           for name in ("utt2spk", "utt2lang"))
    if "reco2file_and_channel" in {path.name for path in directory.iterdir()}:
        _refuse_second_channels(directory / "reco2file_and_channel")
    ids = segments if segments is not None else audio
    for id_ in dict.fromkeys([*ids, *(id_ for of_task in texts.values() for id_ in of_task)]):
        where = f"{directory}:{id_}"
        targets = {task: of_task[id_] for task, of_task in texts.items() if of_task.get(id_)}
        if id_ not in ids or not targets:
            yield LeftOut(where, "no text" if id_ in ids else "no audio")
            continue
        recording, start, end = id_, None, None
        if segments is not None:
            recording, start, end = _segment(segments[id_], f"{directory / 'segments'}: {id_}")
        if recording not in audio:
            yield LeftOut(where, f"its recording {recording} is not in wav.scp")
            continue
        speaker = speakers.get(id_, "")
        yield Found(where, languages.get(id_, ""), targets, audio[recording], id_, "" if speaker == id_ else speaker,
                    start, end)


def _resolved(source: str, directory: Path) -> str:
    """A relative path that is not there from here, seen from the directory or from those above it, as recipes run."""
    if not is_pipe(source) and not Path(source).is_absolute():
        for place in (Path(), directory, *list(directory.resolve().parents)[:3]):
            if Path((split_ark_place(str(place / source)) or (str(place / source),))[0]).is_file():
                return str(place / source)
    return source


def plain_list(path: Path) -> dict[str, str]:
    """Values by plain utterance id, in file order.

    Raises:
        UserError: the file cannot be read, or an id occurs twice.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read: {error}. Check the directory") from None
    values: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        id_, *rest = line.strip().split(maxsplit=1)[:2] or [""]
        if id_ in values:
            raise UserError(f"{path}:{number}: {id_} is there twice. Keep one of the lines")
        if id_:
            values[id_] = rest[0] if rest else ""
    return values


def _texts(directory: Path, options: ImportOptions) -> dict[str, Mapping[str, str]]:
    """The texts of each task; a UserError if there are none."""
    texts: dict[str, Mapping[str, str]] = {}
    if (directory / "text").is_file():
        texts[options.task] = plain_list(directory / "text")
    if (directory / "src_text").is_file():
        texts["transcribe"] = plain_list(directory / "src_text")
    languages = {path.name.rpartition(".")[2] for path in directory.glob("text.*.*")}
    for case in reversed(_CASES):
        for language in languages:
            if (path := directory / f"text.{case}.{language}").is_file():
                english = language == "en" and options.language.lower() not in ("en", "english")
                texts["translate" if english else "transcribe"] = plain_list(path)
    if not texts:
        raise UserError(f"{directory}: no text, src_text or text.tc.LANGUAGE there")
    return texts


def _segment(value: str, where: str) -> tuple[str, float | None, float | None]:
    fields = value.split()
    if len(fields) not in (3, 4):
        raise UserError(f"{where}: expected recording, start and end")
    if len(fields) == 4 and fields[3] not in ("0", "1", "A"):
        raise UserError(f"{where}: channel {fields[3]}: channels are not chosen, they are averaged. Write each channel "
                        "into a file of its own")
    return fields[0], seconds_value(fields[1], where, "start"), seconds_value(fields[2], where, "end")


def _refuse_second_channels(path: Path) -> None:
    files: dict[str, str] = {}
    for recording, value in plain_list(path).items():
        file = value.split()[0] if value.split() else ""
        if file in files:
            raise UserError(f"{path}: {recording} and {files[file]} are channels of one file: channels are not chosen, "
                            "they are averaged. Write each channel into a file of its own")
        files[file] = recording
