"""Merges the lists of all tasks into one Kaldi data directory, data/SET/{wav.scp,text,utt2spk,spk2utt,utt2dur}.

If the tasks have Kaldi's segments, data/SET has them, too, and its wav.scp has recordings.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from utils.audio.constants import WINDOW_SECONDS
from utils.data import machine_made
from utils.data.corpus_lists import LeftOut, write_left_out
from utils.data.doubtful import as_problem, check_control_tokens, check_one_name, overlapping, tagged, too_fast
from utils.data.languages import language_code
from utils.data.lists import TASKS, Problem, parse_key, problem_report, write_list
from utils.data.segments import SEGMENTS, TimeSpan, write_segments
from utils.data.task_lists import (
    TaskLists,
    check_audio,
    check_decoder_sequences,
    check_keys,
    check_speakers,
    read_task_lists,
)
from utils.data.text_cleaning import TAG_RULES, clean_texts, remove_tags
from utils.errors import UserError

LEFT_OUT = "left_out.tsv"
DOUBTFUL = "doubtful.tsv"
_FILES = ("wav.scp", SEGMENTS, "text", "utt2spk", "spk2utt", "utt2dur", LEFT_OUT, DOUBTFUL,
          machine_made.MACHINE_MADE_JSON, "dropped.tsv")  # name of left_out.tsv in earlier versions


@dataclass(frozen=True)
class MergeOptions:
    """Options of a merge; merge_lists.py has an option for every field.

    Raises:
        UserError: a value is out of range, unknown or empty.
    """

    tasks: Sequence[str] = TASKS
    languages: Sequence[str] = ()  # names or codes; none: all
    tokenizer: Path | None = None  # Hugging Face model directory; None: text length is not checked
    check_audio: bool = True
    max_seconds: float = WINDOW_SECONDS
    skip_bad: bool = False
    skip_too_fast: bool = False
    skip_overlap: bool = False
    tags: str = "keep"  # <unk>, [noise], (laughs) in texts: one of TAG_RULES
    held_out: Sequence[Path] = ()  # data directories whose sentences should not be here
    allow_pipes: bool = False
    nj: int = 4
    problem_limit: int = 20  # problems of one file that an error names

    def __post_init__(self) -> None:
        if not self.tasks:
            raise UserError(f"--tasks: names no task. Use {' or '.join(TASKS)}")
        if unknown := sorted(set(self.tasks) - set(TASKS)):
            raise UserError(f"--tasks: unknown task {unknown[0]!r}. Use {' or '.join(TASKS)}")
        if self.tags not in TAG_RULES:
            raise UserError(f"--tags {self.tags}: use one of {' '.join(TAG_RULES)}")
        if not 0 < self.max_seconds <= WINDOW_SECONDS:
            raise UserError(f"--max-seconds {self.max_seconds:g}: must be above 0 and at most "
                            f"{WINDOW_SECONDS:g}, Whisper's window")
        if self.nj < 1:
            raise UserError(f"--nj {self.nj}: must be at least 1")
        if self.tokenizer is not None and not self.tokenizer.is_dir():
            raise UserError(f"--tokenizer {self.tokenizer}: no such directory. Name a model's directory")
        self.language_codes()

    def language_codes(self) -> frozenset[str]:
        """Return Whisper's codes of ``languages``."""
        try:
            return frozenset(map(language_code, self.languages))
        except ValueError as error:
            raise UserError(f"--languages: {error}") from None


@dataclass(frozen=True)
class MergedLists:
    """The merged lists by key, in C order, the duration of each audio file, lines dropped, and lines kept in doubt."""

    wav_scp: dict[str, str]  # audio sources
    text: dict[str, str]
    utt2spk: dict[str, str]
    seconds: dict[str, float]  # by audio source; empty if audio was not opened
    problems: list[Problem]  # problems of the lines dropped
    n_seen: int  # keys in the task lists, good or bad
    n_other_languages: int = 0  # keys ignored
    doubtful: Mapping[str, list[Problem]] = field(default_factory=dict)  # lines kept, by the option that drops them
    segments: Mapping[str, TimeSpan] = field(default_factory=dict)
    recordings: Mapping[str, str] = field(default_factory=dict)  # of the segments
    n_cleaned: Mapping[str, int] = field(default_factory=dict)  # texts changed, by kind of change

    @property
    def n_dropped(self) -> int:
        """The number of keys of the chosen languages that are not in the lists."""
        return self.n_seen - self.n_other_languages - len(self.text)


def merge_task_lists(directory: Path, options: MergeOptions) -> MergedLists:
    """Read, check and merge the task lists under ``directory`` (data/SET); nothing is written.

    Without utt2spk every key is its own speaker, which is Kaldi's convention for unknown speakers.

    Raises:
        UserError: a list is missing, a line has a problem (one error names all of them) unless ``skip_bad``, or no
            line is left.
    """
    all_lists = read_task_lists(directory, options.tasks, options.language_codes())
    cleaned = Counter[str]()
    for lists in all_lists:
        check_keys(lists)
        cleaned += clean_texts(lists)
        if options.tags == "remove":
            cleaned["tags removed"] += remove_tags(lists)
        check_speakers(lists)
        check_one_name(lists)
        check_control_tokens(lists)
        if options.tokenizer is not None:
            check_decoder_sequences(lists, options.tokenizer)
    seconds = check_audio(all_lists, options.max_seconds, options.allow_pipes, options.nj) \
        if options.check_audio else {}
    problems = [problem for lists in all_lists for problem in lists.problems]
    if problems and not options.skip_bad:
        raise UserError(f"{directory}: {len(problems)} lines cannot be used:\n"
                        f"{problem_report(problems, options.problem_limit)}\n"
                        "Correct these lines, or drop them with --skip-bad true")
    doubtful = _doubts(all_lists, seconds, options, problems)
    merged = {name: dict(sorted(chain.from_iterable(lists.good(name) for lists in all_lists)))
              for name in all_lists[0].lists}
    if not merged["text"]:
        raise UserError(f"{directory}: no line is left.\n{problem_report(problems, 3)}" if problems else
                        f"{directory}: no line is of the languages {' '.join(options.languages)}")
    read = set().union(*(lists.keys_read for lists in all_lists))
    _check_counts(directory, read, merged, problems)
    n_other = sum(lists.n_other_languages for lists in all_lists)
    return MergedLists(merged["wav.scp"], merged["text"],
                       merged.get("utt2spk") or {key: key for key in merged["text"]},
                       seconds, problems, len(read) + n_other, n_other, doubtful,
                       *_merged_segments(all_lists, merged["text"]), n_cleaned=+cleaned)


def _merged_segments(all_lists: Sequence[TaskLists],
                     kept: Collection[str]) -> tuple[dict[str, TimeSpan], dict[str, str]]:
    """Segments of the keys that are kept, and the recordings of these.

    Raises:
        UserError: two tasks have different recordings of one name.
    """
    segments = {key: span for lists in all_lists for key, span in lists.segments.items() if key in kept}
    used = {span.recording for span in segments.values()}
    recordings: dict[str, str] = {}
    for lists in all_lists:
        for name, source in lists.recordings.items():
            if name in used and recordings.setdefault(name, source) != source:
                raise UserError(f"{lists.directory / 'wav.scp'}: {name} is {source}, but {recordings[name]} in another "
                                "task. Give the recordings different names")
    return segments, recordings


def _doubts(all_lists: Sequence[TaskLists], seconds: Mapping[str, float], options: MergeOptions,
            problems: list[Problem]) -> dict[str, list[Problem]]:
    """Good lines that are kept although they should perhaps not be there; those to skip are refused instead.

    Args:
        problems: gets the refused ones.
    """
    kept: dict[str, list[Problem]] = {}
    for option, skip, find in (
            ("--tags drop", options.tags == "drop", lambda: tagged(all_lists)),
            ("--skip-too-fast true", options.skip_too_fast, lambda: too_fast(all_lists, seconds)),
            ("--skip-overlap true", options.skip_overlap,
             lambda: overlapping(all_lists, options.held_out, options.language_codes()))):
        doubts = list(find())
        found = [as_problem(doubt) for doubt in doubts]
        if skip:
            problems += found
            for lists, key, _ in doubts:
                lists.bad_keys.add(key)
        elif found:
            kept[option] = found
    return kept


def _check_counts(directory: Path, read: set[str], merged: dict[str, dict[str, str]], problems: list[Problem]) -> None:
    """Check that every key that was read is in all merged lists, or in left_out.tsv with a reason.

    Raises:
        RuntimeError: a key got lost, which is an error in this program.
    """
    kept = merged["text"].keys()
    unexplained = read - kept - {problem.key for problem in problems}
    unequal = [key for items in merged.values() for key in kept ^ items.keys()]
    if lost := [*unexplained, *unequal, *(kept - read)]:
        raise RuntimeError(f"{directory}: {len(lost)} keys got lost in merging, the first: {min(lost)}")


def write_data_directory(directory: Path, merged: MergedLists) -> None:
    """Write Kaldi's files into ``directory``, sorted in C order, and left_out.tsv if lines were dropped.

    doubtful.tsv has the lines that were kept in doubt, in the same form.

    utt2dur is written if audio was opened, machine_made.json if the lists have machine-made translations. The new
    files are complete before the old ones are removed. After an interruption there are old files or new files, perhaps
    not all of them, but never a mixture.
    """
    beside = directory / f".merge.{os.getpid()}.partial"
    beside.mkdir()
    try:
        if merged.segments:
            write_segments(beside, merged.recordings, merged.segments)
        else:
            write_list(beside / "wav.scp", merged.wav_scp, verbatim=True)
        write_list(beside / "text", merged.text)
        write_list(beside / "utt2spk", merged.utt2spk)
        write_list(beside / "spk2utt", _spk2utt(merged.utt2spk))
        if merged.seconds:
            write_list(beside / "utt2dur", {key: f"{merged.seconds[source]:.3f}"
                                            for key, source in merged.wav_scp.items()})
        if merged.problems:
            write_left_out(beside / LEFT_OUT, _rows(merged.problems))
        if merged.doubtful:
            write_left_out(beside / DOUBTFUL, _rows(chain.from_iterable(merged.doubtful.values())))
        record = directory / "translate" / machine_made.MACHINE_MADE_JSON
        if record.exists() and any(parse_key(key).task == "translate" for key in merged.text):
            shutil.copyfile(record, beside / record.name)
        for name in _FILES:
            (directory / name).unlink(missing_ok=True)
        for path in sorted(beside.iterdir()):
            path.replace(directory / path.name)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _rows(problems: Iterable[Problem]) -> list[LeftOut]:
    return [LeftOut(problem.key, problem.what, where=f"{problem.path}:{problem.line}") for problem in sorted(problems)]


def _spk2utt(utt2spk: dict[str, str]) -> dict[str, str]:
    keys: defaultdict[str, list[str]] = defaultdict(list)
    for key in sorted(utt2spk):
        keys[utt2spk[key]].append(key)
    return {speaker: " ".join(of_speaker) for speaker, of_speaker in keys.items()}


def sorted_by_speaker(utt2spk: dict[str, str]) -> bool:
    """Whether keys in C order are also ordered by speaker, as Kaldi's tools require; this recipe does not."""
    speakers = [utt2spk[key] for key in sorted(utt2spk)]
    return speakers == sorted(speakers)


def summary(merged: MergedLists) -> str:
    """Return a table of targets and hours by language and task, and totals; hours are ``-`` if audio was not opened."""
    targets: defaultdict[tuple[str, str], int] = defaultdict(int)
    seconds: defaultdict[tuple[str, str], float] = defaultdict(float)
    for key, source in merged.wav_scp.items():
        parsed = parse_key(key)
        targets[parsed.language, parsed.task] += 1
        seconds[parsed.language, parsed.task] += merged.seconds.get(source, 0.0)
    sources = set(merged.wav_scp.values())

    def hours(value: float) -> str:
        return f"{value / 3600:.2f}" if merged.seconds else "-"

    rows = [("language", "task", "targets", "hours")]
    rows += [(*group, str(targets[group]), hours(seconds[group])) for group in sorted(targets)]
    table = [f"{language:<10}{task:<12}{n:>9}{h:>9}" for language, task, n, h in rows]
    total = hours(sum(merged.seconds.get(source, 0.0) for source in sources))
    what = f"segments of {len(merged.recordings)} recordings" if merged.segments else "audio files"
    return "\n".join([*table, f"{len(sources)} {what}, {len(merged.wav_scp)} targets, {total} hours",
                      *(f"{n} texts: {change}" for change, n in sorted(merged.n_cleaned.items())),
                      f"{merged.n_seen} targets read = {len(merged.text)} kept + {merged.n_dropped} dropped + "
                      f"{merged.n_other_languages} of other languages"])
