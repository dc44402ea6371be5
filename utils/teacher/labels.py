"""A teacher's hypotheses as the translations that a set lacks: select them, check them, write the lists.

``data/SET/translate/machine_made`` holds the lines of ``text`` that a teacher wrote; ``machine_made.json`` says which
teacher, when and how. A line that somebody has corrected is not in it any more: it counts as a human's.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from utils.data.corpus_lists import SOURCE, LeftOut, write_left_out
from utils.data.lists import parse_key, read_list, write_list
from utils.data.machine_made import MACHINE_MADE_JSON
from utils.data.segments import SEGMENTS, TimeSpan, read_recordings
from utils.data.task_lists import check_keys, read_task_lists
from utils.filesystem import atomic_open, read_json, write_json
from utils.score.suspects import Suspect, inspect_translation
from utils.teacher.teacher import INFO, Teacher, join_hypotheses

LINES = "machine_made"
_LISTS = ("wav.scp", "text", "utt2spk")


@dataclass(frozen=True)
class Untranslated:
    """The utterances with a transcript but no human translation, by the key that their translation gets."""

    audio: dict[str, str]
    transcripts: dict[str, str]
    speakers: dict[str, str]  # empty without utt2spk
    n_english: int  # utterances that need no translation
    n_human: int  # utterances that have one
    segments: dict[str, TimeSpan] = field(default_factory=dict)  # empty without segments
    recordings: dict[str, str] = field(default_factory=dict)


def untranslated(directory: Path, languages: Collection[str] = ()) -> Untranslated:
    """The utterances of data/SET/transcribe that need a translation.

    Lines of these lists that cannot be used are left out without a message: merge_lists.py reports them.

    Args:
        directory: data/SET.
        languages: Whisper codes of the languages to translate; empty: all.

    Raises:
        UserError: there are no ``transcribe`` lists, or the lists in ``translate`` cannot be used.
    """
    lists, = read_task_lists(directory, ["transcribe"], languages)
    check_keys(lists)
    values = {name: dict(lists.good(name)) for name in lists.lists}
    translated = {_utterance(key) for key in human_translations(directory / "translate")}
    wanted: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for key in sorted(values["wav.scp"]):
        if parse_key(key).language == "en":
            counts["english"] += 1
        elif _utterance(key) in translated:
            counts["human"] += 1
        else:
            wanted[key.removesuffix("transcribe") + "translate"] = key
    audio, transcripts, speakers = ({new: values[name][old] for new, old in wanted.items()} if name in values else {}
                                    for name in _LISTS)
    segments = {new: lists.segments[old] for new, old in wanted.items()} if lists.segments else {}
    return Untranslated(audio, transcripts, speakers, counts["english"], counts["human"], segments, lists.recordings)


def _utterance(key: str) -> tuple[str, str]:
    parsed = parse_key(key)
    return parsed.utterance, parsed.language


def human_translations(task_dir: Path) -> dict[str, str]:
    """The translations in data/SET/translate that no teacher wrote, by key.

    Raises:
        UserError: a line of ``text`` cannot be used.
    """
    if not (task_dir / "text").exists():
        return {}
    machine = set(_machine_lines(task_dir))
    return {key: text for key, text in read_list(task_dir / "text").items() if _line(key, text) not in machine}


def _machine_lines(task_dir: Path) -> list[str]:
    path = task_dir / LINES
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def _line(key: str, text: str) -> str:
    return f"{key} {text}"


def judge(wanted: Untranslated, hypotheses: Mapping[str, str],
          seconds: Mapping[str, float]) -> tuple[dict[str, str], list[Suspect]]:
    """Separate the translations that can be used from those that cannot.

    Args:
        hypotheses: by key; where one is missing, its audio cannot be used.
        seconds: of audio, for every key of ``hypotheses``.

    Returns:
        The usable translations by key, and what is wrong with each of the others.
    """
    kept, dropped = {}, []
    for key, transcript in wanted.transcripts.items():
        if key not in hypotheses:
            dropped.append(Suspect(key, "no audio", "it cannot be used: see what merging the lists says"))
        elif faults := inspect_translation(key, transcript, hypotheses[key], seconds[key]):
            dropped.append(faults[0])
        else:
            kept[key] = " ".join(hypotheses[key].split())
    return kept, dropped


def write_translations(directory: Path, wanted: Untranslated, kept: Mapping[str, str],
                       record: Mapping[str, Any]) -> None:
    """Make ``kept`` the machine-made part of data/SET/translate; humans' translations stay.

    Even after an interruption every machine-made line is in ``machine_made``: new lines are added there before they
    are written to ``text``, and old ones are removed there after they have left ``text``.
    """
    task_dir = directory / "translate"
    if not kept and not (task_dir / LINES).exists():
        return
    human = human_translations(task_dir)
    lists = {"text": {**human, **kept}, **_audio_lists(task_dir, wanted, human, kept)}
    if wanted.speakers:
        lists["utt2spk"] = _kept_of(task_dir / "utt2spk", human) | {key: wanted.speakers[key] for key in kept}
    if not lists["text"]:
        _remove_lists(task_dir)
        return
    task_dir.mkdir(exist_ok=True)
    if (directory / "transcribe" / SOURCE).exists():  # the corpus' preparation may write these lists again
        shutil.copyfile(directory / "transcribe" / SOURCE, task_dir / SOURCE)
    marks = sorted(_line(key, text) for key, text in kept.items())
    _write_lines(task_dir / LINES, sorted({*marks, *_machine_lines(task_dir)}))
    for name, items in lists.items():
        write_list(task_dir / name, items, verbatim=name == "wav.scp")
    if kept:
        write_json(task_dir / MACHINE_MADE_JSON, record)
        _write_lines(task_dir / LINES, marks)
    else:
        (task_dir / MACHINE_MADE_JSON).unlink(missing_ok=True)
        (task_dir / LINES).unlink(missing_ok=True)


def _audio_lists(task_dir: Path, wanted: Untranslated, human: Collection[str],
                 kept: Collection[str]) -> dict[str, dict[str, str]]:
    """wav.scp, and segments if the transcripts have them, of humans' translations and the ones that are kept."""
    if not wanted.segments:
        return {"wav.scp": _kept_of(task_dir / "wav.scp", human) | {key: wanted.audio[key] for key in kept}}
    segments = _kept_of(task_dir / SEGMENTS, human) | {key: str(wanted.segments[key]) for key in kept}
    recordings = read_recordings(task_dir / "wav.scp") if human else {}
    used = {span.split()[0] for span in segments.values()}
    return {"wav.scp": {name: audio for name, audio in (wanted.recordings | recordings).items() if name in used},
            SEGMENTS: segments}


def _remove_lists(task_dir: Path) -> None:
    """Remove the empty lists, and the directory unless it has other files."""
    for name in (*_LISTS, SEGMENTS, LINES, MACHINE_MADE_JSON, SOURCE):
        (task_dir / name).unlink(missing_ok=True)
    if task_dir.is_dir() and not any(task_dir.iterdir()):
        task_dir.rmdir()


def _kept_of(path: Path, keys: Collection[str]) -> dict[str, str]:
    items = read_list(path, verbatim=True) if path.exists() else {}
    return {key: value for key, value in items.items() if key in keys}


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    with atomic_open(path) as stream:
        stream.writelines(f"{line}\n" for line in lines)


def label(teacher: Teacher, data_dir: Path, wanted: Untranslated) -> dict[str, Any]:
    """Write the lists of usable translations, and ``left_out.tsv`` with the others.

    Returns:
        The record that is written beside the lists; its ``dropped`` counts by kind.
    """
    cache = teacher.cache(data_dir)
    hypotheses, seconds = join_hypotheses(cache)
    kept, dropped = judge(wanted, hypotheses, seconds)
    info = read_json(cache / INFO, "Delete this directory and label again") if (cache / INFO).exists() else {}
    record = {"teacher": teacher.name, "beam_size": teacher.beam_size, **info, "decoded": len(wanted.audio),
              "kept": len(kept), "dropped": dict(Counter(suspect.kind for suspect in dropped)), "human": wanted.n_human}
    if wanted.audio:
        (cache / "dropped.tsv").unlink(missing_ok=True)  # its name in earlier versions
        write_left_out(cache / "left_out.tsv", [
            LeftOut(suspect.key, f"{suspect.kind}: {suspect.detail}" if suspect.detail else suspect.kind,
                    text=hypotheses.get(suspect.key, "")) for suspect in dropped])
    write_translations(data_dir, wanted, kept, record)
    return record
