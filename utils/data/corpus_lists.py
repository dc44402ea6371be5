"""Code that the prepare_*.py of all corpora share: utterances, and the lists of each task, which stage 1 merges."""

from __future__ import annotations

import argparse
import os
import re
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path

from utils.audio.constants import FRAME_SECONDS, WINDOW_SECONDS
from utils.audio.sources import is_pipe, part_source
from utils.cli import log
from utils.data.audio_lengths import seconds_of_sources
from utils.data.lists import TASKS, write_list
from utils.data.segments import TimeSpan, write_segments
from utils.errors import UserError
from utils.filesystem import atomic_directory, atomic_open

_REASONS_SHOWN = 12  # a file that cannot be read is often a reason of its own
SOURCE = "source"  # file in data/SET/TASK with the name of the lists' corpus


@dataclass(frozen=True)
class CorpusUtterance:
    """An audio file, or a part of one, and its text for each task.

    Attributes:
        set: name of the data directory, such as ``train``.
        id: without white space and ``|``. If the speaker is known, the id begins with the speaker, as Kaldi requires.
        language: a name or code that Whisper knows.
        targets: texts by task.
        speaker: one word, or empty.
        start, end: the part of ``audio``, in seconds; None: all of it. In a set, all utterances have them or none.
        entry: an entry of wav.scp in place of ``audio``: ``command |``, ``file.ark:offset``.
    """

    set: str
    id: str
    language: str
    audio: Path
    targets: dict[str, str]
    speaker: str = ""
    start: float | None = None
    end: float | None = None
    entry: str = ""

    @property
    def recording(self) -> str:
        """The audio, or the recording that it is a part of, as wav.scp has it."""
        return self.entry or str(self.audio)

    @property
    def source(self) -> str:
        """The audio, as lists in memory have it."""
        if self.start is None or self.end is None:
            return self.recording
        return part_source(self.recording, self.start, self.end)

    def key(self, task: str) -> str:
        """Return ``id|language|task``."""
        return f"{self.id}|{self.language}|{task}"


@dataclass(frozen=True)
class LeftOut:
    """An utterance or line that is not in the lists, and the reason.

    Attributes:
        what: its key or id, or its file and line.
        where: file and line, if ``what`` does not have them.
        text: its text.
    """

    what: str
    reason: str
    where: str = ""
    text: str = ""


def make_utterance_id(name: str, speaker: str = "", start: float | None = None, end: float | None = None) -> str:
    """A name as an id, with the speaker before it, and times in hundredths of a second, as in Kaldi."""
    times = f"-{start * 100:07.0f}-{end * 100:07.0f}" if start is not None and end is not None else ""
    id_ = re.sub(r"[^\w.-]+", "_", name + times).strip("_")
    return f"{speaker}-{id_}" if speaker else id_


def add_prepare_options(parser: argparse.ArgumentParser, languages: str) -> None:
    """Add the options of every prepare_*.py; ``languages`` is the help text of ``--languages``."""
    parser.add_argument("--languages", default="", help=languages)
    parser.add_argument("download_dir", type=Path, help="directory that download_*.py filled; begins paths in wav.scp")
    parser.add_argument("data_dir", type=Path, help="directory for SET/TASK/{wav.scp,text}")


def without_unusable(utterances: Iterable[CorpusUtterance], left_out: list[LeftOut],
                     nj: int = 0, allow_pipes: bool = False) -> list[CorpusUtterance]:
    """Return the utterances that can be read, have a frame and fit into Whisper's window; ``left_out`` gets the others.

    In a set where some utterances are parts of recordings, the others become parts, too: from 0 to their end.
    ``nj`` threads (0: one per core) open files; ``command |`` entries run with ``allow_pipes`` only.
    """
    def fault_of(utterance: CorpusUtterance) -> str:
        seconds = lengths[utterance.source]
        if is_pipe(utterance.recording) and not allow_pipes:
            return ""  # refused by write_lists, which says that the file must be renamed
        if isinstance(seconds, UserError):
            return str(seconds).removeprefix(f"{utterance.source}: ")
        if seconds < FRAME_SECONDS:
            return f"shorter than a frame, {FRAME_SECONDS} s"
        return f"longer than {WINDOW_SECONDS:g} s" if seconds > WINDOW_SECONDS else ""

    utterances = list(utterances)
    lengths = seconds_of_sources((utterance.source for utterance in utterances), nj or os.cpu_count() or 1,
                                 allow_pipes)
    faults = list(map(fault_of, utterances))
    left_out += [LeftOut(utterance.id, fault) for utterance, fault in zip(utterances, faults, strict=True) if fault]
    with_parts = {utterance.set for utterance in utterances if utterance.start is not None}
    kept = [utterance for utterance, fault in zip(utterances, faults, strict=True) if not fault]
    return [replace(utterance, start=0.0, end=length)
            if utterance.start is None and utterance.set in with_parts
            and isinstance(length := lengths[utterance.source], float) else utterance for utterance in kept]


def write_lists(corpus: str, utterances: Sequence[CorpusUtterance], left_out: Sequence[LeftOut], data_dir: Path,
                sets: Sequence[str], *, allow_empty: bool = False, allow_pipes: bool = False) -> None:
    """Write DATA_DIR/SET/TASK/{wav.scp,text[,utt2spk][,segments],source} and DATA_DIR/CORPUS_left_out.tsv.

    The counts are logged. Lists that an earlier run left are removed for a task without targets. utt2spk is written for
    a set whose utterances all have a speaker, segments for one whose utterances are parts of recordings.

    Args:
        corpus: the corpus' name.
        sets: names of all sets of the corpus: ``train``, ``dev``, ...
        allow_empty: allow sets without utterances; they get no lists.
        allow_pipes: allow audio that is a ``command |``.

    Raises:
        UserError: a set is empty, an id occurs twice or cannot be part of a key, a file name cannot be in a list, or
            ``data_dir`` has lists that no corpus was made into.
    """
    by_set: dict[str, list[CorpusUtterance]] = {name: [] for name in sets}
    for utterance in utterances:
        by_set[utterance.set].append(utterance)
    for name, members in by_set.items():
        if members or not allow_empty:
            _check(corpus, name, members, left_out, data_dir, allow_pipes)
    for name, members in by_set.items():
        for task in TASKS:
            _write_task(corpus, [utterance for utterance in members if task in utterance.targets], task,
                        data_dir / name / task, all(utterance.speaker for utterance in members))
        counts = Counter((utterance.language, task) for utterance in members for task in utterance.targets)
        log(f"{data_dir / name}: " + ", ".join(f"{' '.join(kind)} {n}" for kind, n in sorted(counts.items())))
    path = data_dir / f"{corpus}_left_out.tsv"
    write_left_out(path, left_out)
    reasons: defaultdict[str, list[str]] = defaultdict(list)
    for item in left_out:
        kind = "no audio" if item.reason.startswith("no audio: ") else item.reason
        reasons[kind].append(item.what)
    for reason, items in sorted(reasons.items(), key=lambda kind: -len(kind[1]))[:_REASONS_SHOWN]:
        log(f"left out: {len(items)} ({reason}), for example {items[0]}")
    if len(reasons) > _REASONS_SHOWN:
        log(f"left out: {len(left_out)} in all, for {len(reasons)} reasons")
    if left_out:
        log(f"each of them: {path}")


def _check(corpus: str, name: str, utterances: Sequence[CorpusUtterance], left_out: Sequence[LeftOut],
           data_dir: Path, allow_pipes: bool) -> None:
    """Raise a UserError for utterances that would make invalid lists; called before any list is written."""
    if not utterances:
        example = f"; left out: {len(left_out)}, first {left_out[0].what} ({left_out[0].reason})" if left_out else ""
        raise UserError(f"{corpus}: no utterances for {data_dir / name}. Check the download and its sets{example}")
    ids = Counter((utterance.id, utterance.language) for utterance in utterances)
    for (id_, _), count in ids.items():
        if count > 1 or "|" in id_ or len(id_.split()) != 1:
            raise UserError(f"{corpus}: {name}: the id {id_!r} occurs {count} times or has white space or | in it")
    for utterance in utterances:
        if len(utterance.recording.splitlines()) > 1 or (is_pipe(utterance.recording) and not allow_pipes):
            raise UserError(f"{corpus}: the file name {utterance.recording!r} cannot be in a list: it has a line "
                            "end in it, or ends like a command. Rename the file")
    if len({utterance.start is None for utterance in utterances}) > 1:
        raise UserError(f"{corpus}: {name}: some utterances are parts of recordings and others whole files. Give all "
                        "of them a start and an end")
    for task in TASKS:
        directory = data_dir / name / task
        if (directory / "wav.scp").exists() and not (directory / SOURCE).exists():
            raise UserError(f"{directory}: has lists that no corpus was made into: move them away, or use them: "
                            '--corpus-name ""')


def _write_task(corpus: str, utterances: Sequence[CorpusUtterance], task: str, directory: Path, speakers: bool) -> None:
    if not utterances:
        shutil.rmtree(directory, ignore_errors=True)
        return
    lists = {"text": {u.key(task): u.targets[task] for u in utterances}}
    if speakers:
        lists["utt2spk"] = {u.key(task): u.speaker for u in utterances}
    with atomic_directory(directory) as partial:
        if utterances[0].start is None:
            write_list(partial / "wav.scp", {u.key(task): u.recording for u in utterances}, verbatim=True)
        else:
            names = _recording_names(utterances)
            write_segments(partial, {name: recording for recording, name in names.items()},
                           {u.key(task): TimeSpan(names[u.recording], u.start or 0, u.end or 0) for u in utterances})
        for name, items in lists.items():
            write_list(partial / name, items)
        (partial / SOURCE).write_text(f"{corpus}\n", encoding="utf-8")


def _recording_names(utterances: Iterable[CorpusUtterance]) -> dict[str, str]:
    """A name for each recording: that of its file, with as many of its directories as tell it from others."""
    paths = {recording: Path(recording) for recording in sorted({utterance.recording for utterance in utterances})}
    names: dict[str, str] = {}
    for depth in range(1, max(len(path.parts) for path in paths.values()) + 1):
        found = {recording: re.sub(r"[\s|]+", "_", "_".join(path.with_suffix("").parts[-depth:]))
                 for recording, path in paths.items()}
        counts = Counter(found.values())
        names = {recording: names.get(recording) or (name if counts[name] == 1 else "")
                 for recording, name in found.items()}
    return {recording: name or f"{number}_{re.sub(r'[^A-Za-z0-9_.-]+', '_', paths[recording].stem)}"
            for number, (recording, name) in enumerate(names.items())}


def write_left_out(path: Path, left_out: Iterable[LeftOut]) -> None:
    """Write a left_out.tsv: columns ``what`` and ``reason``, then ``where`` and ``text`` if there are any."""
    rows = [astuple(item) for item in left_out]
    names = [field.name for field in fields(LeftOut)]
    used = [index for index in range(len(names)) if index < 2 or any(row[index] for row in rows)]
    with atomic_open(path) as stream:
        stream.writelines("\t".join(" ".join(row[index].split()) for index in used) + "\n" for row in (names, *rows))
