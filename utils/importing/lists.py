"""Writes what a reader finds as the lists of a set, data/SET/TASK/{wav.scp,text[,utt2spk][,segments]}."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import soundfile

from utils.audio.ark_audio import split_ark_place
from utils.audio.constants import SAMPLE_RATE
from utils.audio.loading import read_audio
from utils.audio.sources import is_pipe
from utils.cli import log, progress
from utils.data.corpus_lists import CorpusUtterance, LeftOut, make_utterance_id, without_unusable, write_lists
from utils.data.languages import language_code
from utils.errors import UserError
from utils.filesystem import atomic_directory
from utils.importing.found import Entry, Found

AUDIO = "audio"  # directory in data/SET for audio that was extracted


@dataclass
class Imported:
    """What became of a source: its utterances, what was left out, and how many entries it had."""

    utterances: list[CorpusUtterance]
    left_out: list[LeftOut]
    n_entries: int


def import_entries(entries: Iterable[Entry], set_dir: Path, language: str, extract: bool,
                   allow_pipes: bool = False) -> Imported:
    """Write the lists of a set from what a reader yields.

    Args:
        set_dir: data/SET.
        language: of utterances whose source does not say it.
        extract: write audio that is inside a container to set_dir/audio, as flac at 16 kHz; without it, such audio is
            refused.
        allow_pipes: run ``command |`` entries of wav.scp, to know their lengths.

    Raises:
        UserError: see the readers; an utterance has no language or one that Whisper does not know, audio is inside a
            container, or nothing is left.
    """
    found, left_out, n_entries = list[tuple[Found, CorpusUtterance]](), list[LeftOut](), 0
    for entry in progress(entries, "entries", None, "entry"):
        n_entries += 1
        if isinstance(entry, LeftOut):
            left_out.append(entry)
        elif utterance := _utterance(entry, set_dir, language, left_out):
            if entry.content is not None and not extract:
                raise UserError(f"{entry.where}: its audio is inside a container. Give --extract true to have it "
                                f"written to {set_dir / AUDIO} as flac")
            if is_pipe(entry.audio) and not allow_pipes:
                raise UserError(f"{entry.where}: {entry.audio}: is a command, which is run to know its length. Give "
                                "--allow-pipes true if you trust the list")
            found.append((entry, utterance))
    merged = _merged(found, left_out)
    if extract:
        merged = _extracted(merged, set_dir / AUDIO, left_out)
    kept = without_unusable((utterance for _, utterance in merged), left_out, allow_pipes=allow_pipes)
    if not kept:
        first = f"; the first left out: {left_out[0].what} ({left_out[0].reason})" if left_out else ""
        raise UserError(f"{set_dir}: no utterance is left of {n_entries} entries{first}")
    write_lists(f"{set_dir.name}_import", kept, left_out, set_dir.parent, [set_dir.name],
                allow_pipes=allow_pipes)
    n_targets = sum(len(utterance.targets) for utterance in kept)
    log(f"{set_dir}: {n_entries} entries read; {len(kept)} utterances with {n_targets} targets written; "
        f"{len(left_out)} lines in {set_dir.parent / f'{set_dir.name}_import_left_out.tsv'}")
    return Imported(kept, left_out, n_entries)


def _utterance(entry: Found, set_dir: Path, language: str, left_out: list[LeftOut]) -> CorpusUtterance | None:
    """An entry as an utterance of the set, or None if it is left out."""
    try:
        code = language_code(entry.language or language)
    except ValueError as error:
        if not (entry.language or language):
            raise UserError(f"{entry.where}: no language. Say it: --language french") from None
        raise UserError(f"{entry.where}: {error}") from None
    targets = {task: text for task, text in entry.targets.items() if text}
    if code == "en" and targets.pop("translate", ""):
        left_out.append(LeftOut(entry.where, "translation: the speech is English already"))
    reason = "" if targets else "no text"
    if entry.start is not None and entry.end is not None and not 0 <= entry.start < entry.end < float("inf"):
        reason = f"starts at {entry.start:g} and ends at {entry.end:g} s"
    if entry.audio and not is_pipe(entry.audio) and _lacks(entry.audio):
        reason = f"no audio: {entry.audio}" + ("" if Path(entry.audio).is_absolute() else f", seen from {Path.cwd()}")
    if reason:
        left_out.append(LeftOut(entry.where, reason))
        return None
    speaker = re.sub(r"[\s|]+", "_", entry.speaker.strip())
    before = "" if entry.id.startswith(speaker) else speaker  # Kaldi's ids begin with the speaker already
    id_ = make_utterance_id(entry.id, before) if entry.id else \
        make_utterance_id(Path(entry.name or entry.audio).stem, before, entry.start, entry.end)
    return CorpusUtterance(set_dir.name, id_, code, Path(entry.name), targets, speaker, entry.start, entry.end,
                           entry.audio)


def _lacks(audio: str) -> bool:
    return not Path((split_ark_place(audio) or (audio,))[0]).is_file()


def _merged(found: Iterable[tuple[Found, CorpusUtterance]],
            left_out: list[LeftOut]) -> list[tuple[Found, CorpusUtterance]]:
    """Utterances of one id: their tasks are joined if they have the same audio; else the later one gets a number."""
    of_key: dict[tuple[str, str], tuple[Found, CorpusUtterance]] = {}
    for entry, utterance in found:
        key, number = (utterance.id, utterance.language), 1
        while (other := of_key.get(key)) and not _same_audio(other[0], entry):
            number += 1
            key = (f"{utterance.id}-{number}", utterance.language)
        if other is None:
            of_key[key] = (entry, replace(utterance, id=key[0], targets=dict(utterance.targets)))
            continue
        for task, text in utterance.targets.items():
            if other[1].targets.setdefault(task, text) != text:
                left_out.append(LeftOut(entry.where, f"{task}: {other[0].where} has another text for this audio",
                                        text=text))
    return list(of_key.values())


def _same_audio(one: Found, other: Found) -> bool:
    return (one.audio, one.content, one.start, one.end) == (other.audio, other.content, other.start, other.end)


def _extracted(found: Iterable[tuple[Found, CorpusUtterance]], directory: Path,
               left_out: list[LeftOut]) -> list[tuple[Found, CorpusUtterance]]:
    """Write audio that is inside containers as flac files, and name these in the utterances."""
    found, kept = list(found), list[tuple[Found, CorpusUtterance]]()
    if all(entry.content is None for entry, _ in found):
        return found
    with atomic_directory(directory) as partial:
        for entry, utterance in progress(found, "audio", len(found), "file"):
            if entry.content is None:
                kept.append((entry, utterance))
                continue
            try:
                samples = read_audio(io.BytesIO(entry.content()), entry.name)
            except UserError as error:
                left_out.append(LeftOut(entry.where, str(error).removeprefix(f"{entry.name}: ")))
                continue
            name = f"{utterance.id}.{utterance.language}.flac"
            soundfile.write(partial / name, samples, SAMPLE_RATE, subtype="PCM_16")
            kept.append((entry, replace(utterance, audio=directory / name)))
    return kept
