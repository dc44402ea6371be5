"""The lists of one task, data/SET/TASK/{wav.scp,text[,utt2spk][,segments]}, and their checks before merging."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import chain
from os.path import exists, isabs
from pathlib import Path

from utils.audio.ark_audio import split_ark_place
from utils.audio.constants import FRAME_SECONDS
from utils.audio.sources import is_pipe
from utils.data.audio_lengths import seconds_of_sources
from utils.data.lists import Problem, ScannedList, parse_key, scan_list
from utils.data.segments import SEGMENTS, TimeSpan, read_recordings, scan_segments, source_of
from utils.errors import UserError


@dataclass
class TaskLists:
    """The lists of one task by file name, and their problems.

    ``lists["wav.scp"]`` has the audio source of each key. With Kaldi's ``segments``, its lines are those of that file,
    and ``segments`` and ``recordings`` have what the two files say.
    """

    directory: Path
    lists: dict[str, ScannedList]
    problems: list[Problem] = field(default_factory=list)
    bad_keys: set[str] = field(default_factory=set)
    n_other_languages: int = 0  # keys ignored
    keys_read: set[str] = field(default_factory=set)  # of all lines, valid or not, except ignored ones
    segments: dict[str, TimeSpan] = field(default_factory=dict)
    recordings: dict[str, str] = field(default_factory=dict)

    @property
    def task(self) -> str:
        """The task's name, which is that of the directory."""
        return self.directory.name

    def refuse(self, name: str, key: str, what: str) -> None:
        """Add a problem of ``key``'s line in the list ``name``; the key will not be merged."""
        scanned = self.lists[name]
        self.problems.append(Problem(scanned.path, scanned.line_of[key], key, what))
        self.bad_keys.add(key)

    def good(self, name: str) -> Iterable[tuple[str, str]]:
        """Return keys and values of the list ``name`` that no check has refused so far."""
        items = self.lists[name].items.items()
        return ((key, value) for key, value in items if key not in self.bad_keys) if self.bad_keys else items


def read_task_lists(directory: Path, tasks: Sequence[str],
                    languages: Collection[str] = ()) -> list[TaskLists]:
    """Return the lists of those ``tasks`` that have a directory under ``directory`` (data/SET).

    Relative paths of audio that exist beside the list, but not in the working directory, get the list's directory.
    ``languages`` are Whisper's codes; lines of other languages are ignored. If it is empty, all lines are read.

    Raises:
        UserError: no task has a directory, a list cannot be read, or only some tasks have utt2spk or segments.
    """
    task_dirs = [directory / task for task in tasks if (directory / task).is_dir()]
    if not task_dirs:
        wanted = " or ".join(f"{directory}/{task}" for task in tasks)
        raise UserError(f"{directory}: no lists. Put a task's wav.scp and text into {wanted}")
    names = ["wav.scp", "text", *(["utt2spk"] if _all_have("utt2spk", task_dirs) else [])]
    with_segments = _all_have(SEGMENTS, task_dirs)
    read = []
    for task_dir in task_dirs:
        segments, recordings = dict[str, TimeSpan](), dict[str, str]()
        scanned_lists = {name: scan_list(task_dir / name, verbatim=name == "wav.scp") for name in names
                         if name != "wav.scp" or not with_segments}
        if with_segments:
            recordings = {recording: _beside(source, task_dir)
                          for recording, source in read_recordings(task_dir / "wav.scp").items()}
            scanned_lists["wav.scp"], segments = _scan_parts(task_dir, recordings)
        else:
            sources = scanned_lists["wav.scp"].items
            sources |= {key: _beside(source, task_dir) for key, source in sources.items()}
        all_keys = _keys(scanned_lists)
        if languages:
            scanned_lists = {name: _of_languages(scanned, languages) for name, scanned in scanned_lists.items()}
        keys = _keys(scanned_lists)
        problems = [problem for scanned in scanned_lists.values() for problem in scanned.problems]
        read.append(TaskLists(task_dir, scanned_lists, problems, n_other_languages=len(all_keys - keys),
                              keys_read=keys, segments=segments, recordings=recordings))
    return read


def _all_have(name: str, task_dirs: Sequence[Path]) -> bool:
    """Whether all tasks have a list that they may lack; a UserError if only some have it."""
    lacking = [task_dir / name for task_dir in task_dirs if not (task_dir / name).exists()]
    if 0 < len(lacking) < len(task_dirs):
        raise UserError(f"{lacking[0]}: is missing, but another task has one. Write it or delete the other")
    return not lacking


def _scan_parts(task_dir: Path, recordings: Mapping[str, str]) -> tuple[ScannedList, dict[str, TimeSpan]]:
    """The sources of ``segments`` as a list, and what its lines say."""
    scanned, spans = scan_segments(task_dir / SEGMENTS)
    sources = {key: source_of(span, recordings) for key, span in spans.items() if span.recording in recordings}
    unknown = [Problem(scanned.path, scanned.line_of[key], key, f"{key}: its recording {span.recording} is not in "
                       f"{task_dir / 'wav.scp'}. Add it there, or correct the name")
               for key, span in spans.items() if key not in sources]
    return scanned.with_values(sources, scanned.problems + unknown), spans


def _keys(scanned_lists: Mapping[str, ScannedList]) -> set[str]:
    """The keys of all lines, valid or not."""
    return {key for scanned in scanned_lists.values()
            for key in chain(scanned.items, (problem.key for problem in scanned.problems))}


def _of_languages(scanned: ScannedList, languages: Collection[str]) -> ScannedList:
    """The lines of ``languages``, and the problems of lines whose language is not known."""
    def wanted(key: str) -> bool:
        try:
            return parse_key(key).language in languages
        except ValueError:
            return True

    return scanned.with_values({key: value for key, value in scanned.items.items() if wanted(key)},
                               [problem for problem in scanned.problems if wanted(problem.key)])


def check_keys(task_lists: TaskLists) -> None:
    """Refuse keys that are not in all lists, and keys of another task."""
    ending = f"|{task_lists.task}"
    for name, scanned in task_lists.lists.items():
        for other in task_lists.lists.values():
            missing = scanned.items.keys() - other.items.keys()
            task_lists.bad_keys |= missing
            # An invalid line of the other list is reported only once, there.
            for key in missing - {problem.key for problem in other.problems}:
                task_lists.refuse(name, key, f"key {key} is not in {other.path}. Add it or delete it here")
        for key in scanned.items:
            if not key.endswith(ending):
                task_lists.refuse(name, key, f"key {key} is in a list of the task {task_lists.task}. "
                                             "Move it to its own task's list or correct it")


def check_speakers(task_lists: TaskLists) -> None:
    """Refuse speakers with a space in them, which Kaldi cannot read."""
    if "utt2spk" in task_lists.lists:
        for key, speaker in list(task_lists.good("utt2spk")):
            if " " in speaker:
                task_lists.refuse("utt2spk", key, f"speaker {speaker!r} has a space in it. Write one word")


def check_decoder_sequences(task_lists: TaskLists, model_directory: Path) -> None:
    """Refuse texts with too many tokens for Whisper's decoder, and languages without a token in this model.

    Raises:
        UserError: no multilingual Whisper tokenizer can be loaded from ``model_directory``.
    """
    from utils.data.prompts import MAX_TEXT_TOKENS, prompt_ids, text_ids
    from utils.data.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(model_directory)

    @cache
    def complaint(names: str) -> str:
        try:
            prompt_ids(tokenizer, f"any|{names}")
        except UserError as error:
            return str(error).partition(": ")[2] + ". Take another model, or leave this language out"
        return ""

    for key, text in list(task_lists.good("text")):
        if what := complaint(key.partition("|")[2]):
            task_lists.refuse("text", key, f"{key}: {what}")
        # With byte-level BPE, a text and the space before it have at most as many tokens as UTF-8 bytes.
        elif (len(text.encode()) >= MAX_TEXT_TOKENS
                and (n_tokens := len(text_ids(tokenizer, key, text))) > MAX_TEXT_TOKENS):
            task_lists.refuse("text", key, f"text of {key} has {n_tokens} tokens, Whisper has room for "
                                           f"{MAX_TEXT_TOKENS}. Cut the utterance into shorter ones")


def _beside(source: str, directory: Path) -> str:
    """A relative path that exists in ``directory`` but not in the working directory, with its directory; else as it is.

    os.path is fast enough for a million names, and treats names that are too long as missing.
    """
    if not (is_pipe(source) or isabs(source) or exists(source)):  # noqa: PTH110, PTH117
        beside = str(directory / source)
        file = (split_ark_place(source) or (source,))[0]
        if exists(beside) or (file != source and not exists(file) and exists(directory / file)):  # noqa: PTH110
            return beside
    return source


def check_audio(all_lists: Sequence[TaskLists], max_seconds: float, allow_pipes: bool,
                nj: int) -> dict[str, float]:
    """Refuse keys whose audio cannot be opened, is shorter than a frame, or is longer than ``max_seconds``.

    Args:
        nj: number of files that are opened at once.

    Returns:
        Seconds by valid audio source.
    """
    def judge(source: str, seconds: float | UserError) -> float | str:
        if isinstance(seconds, UserError):
            return str(seconds)
        if seconds < FRAME_SECONDS:
            return f"{source}: {seconds:g} s are less than one frame, {FRAME_SECONDS} s. Delete its lines"
        if seconds > max_seconds:
            return (f"{source}: {seconds:.2f} s are more than --max-seconds {max_seconds:g}. "
                    "Cut the utterance into shorter ones, or list its segments: key recording start end in "
                    f"{SEGMENTS}, recording path in wav.scp")
        return seconds

    sources = (source for task_lists in all_lists for _, source in task_lists.good("wav.scp"))
    judged = {source: judge(source, seconds)
              for source, seconds in seconds_of_sources(sources, nj, allow_pipes).items()}
    for task_lists in all_lists:
        for key, source in list(task_lists.good("wav.scp")):
            if isinstance(what := judged[source], str):
                task_lists.refuse("wav.scp", key, what)
    return {source: seconds for source, seconds in judged.items() if not isinstance(seconds, str)}
