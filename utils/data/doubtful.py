"""Lines of lists that can be read but should not be there: tokens, twofold names, tags, too much text, overlap.

The first two are always wrong, and refused like other bad lines. The others may be meant: they are named, and dropped
where an option says so.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from utils.data.languages import text_language
from utils.data.lists import TASKS, Problem, UtteranceKey, parse_key, scan_list
from utils.data.relatives import bare_words
from utils.data.task_lists import TaskLists
from utils.data.text_cleaning import find_tags
from utils.errors import UserError

# <|0.00|>, <|endoftext|>, <|fr|>: Whisper's control tokens, which its tokenizer makes of text, too.
_CONTROL_TOKEN = re.compile(r"<\|[^|\s]*\|>")
# A text with more letters per second of audio does not belong to it. The fastest speakers say some ten syllables a
# second, about 25 letters; a translation may be longer than what was said.
MOST_LETTERS_PER_SECOND = {"transcribe": 30, "translate": 40}
_FREE_LETTERS = 20  # on top of that: a word or two may be cut at the end of an utterance
_LETTERS_OF_WIDE = 2  # a Chinese, Japanese or Korean character takes as long as two letters at least

Doubt = tuple[TaskLists, str, str]
"""Where a key is, the key, and what is doubtful about its text."""


def check_control_tokens(task_lists: TaskLists) -> None:
    """Refuse texts that hold control tokens: a model would learn to write times, or to stop in the middle."""
    for key, text in list(task_lists.good("text")):
        if token := _CONTROL_TOKEN.search(text):
            task_lists.refuse("text", key, f"control token {token[0]} in the text of {key}. References are plain text: "
                                           "the recipe adds Whisper's tokens itself. Delete it")


def check_one_name(task_lists: TaskLists) -> None:
    """Refuse an utterance that has a second key, with another name of the same language."""
    items = task_lists.lists["text"].items
    names = {key.split("|")[1] for key in items}
    if len(names) == len({parse_key(f"any|{name}|{task_lists.task}").language for name in names}):
        return  # no language has two names here
    first: dict[UtteranceKey, str] = {}
    for key, _ in list(task_lists.good("text")):
        if (other := first.setdefault(parse_key(key), key)) != key:
            line = task_lists.lists["text"].line_of[other]
            task_lists.refuse("text", key, f"{key} and {other}, on line {line}, are one utterance under two names of "
                                           "a language. Keep one of them")


def too_fast(all_lists: Sequence[TaskLists], seconds: Mapping[str, float]) -> Iterator[Doubt]:
    """Texts that nobody can say in the time of their audio: text and audio shifted by one line, or audio that was cut.

    Args:
        seconds: of each audio source; what is not there is not judged.
    """
    for task_lists in all_lists:
        sources = task_lists.lists["wav.scp"].items
        rate = MOST_LETTERS_PER_SECOND[task_lists.task]
        for key, text in task_lists.good("text"):
            if (duration := seconds.get(sources[key])) is None or len(text) <= rate * duration / _LETTERS_OF_WIDE:
                continue
            letters = _n_letters(text)
            if letters > rate * duration + _FREE_LETTERS:
                yield task_lists, key, (f"text of {key} has {letters} letters for {duration:.2f} s of audio; nobody "
                                        f"says more than {rate} a second. Correct the text or the audio")


def _n_letters(text: str) -> int:
    """Letters and digits, the wide ones counted by the time that they take."""
    return sum(_LETTERS_OF_WIDE if unicodedata.east_asian_width(char) in "WF" else 1 for char in text if char.isalnum())


def tagged(all_lists: Sequence[TaskLists]) -> Iterator[Doubt]:
    """Texts with tags (``<unk>``, ``[noise]``, ``(laughs)``): a model that is trained on them writes them."""
    for task_lists in all_lists:
        for key, text in task_lists.good("text"):
            if tags := find_tags(text):
                yield task_lists, key, (f"text of {key} has the tag {tags[0]}, which the model would learn to write. "
                                        "--tags remove deletes tags")


def overlapping(all_lists: Sequence[TaskLists], held_out: Sequence[Path],
                languages: Collection[str] = ()) -> Iterator[Doubt]:
    """Texts that also occur in an evaluation set: its scores would partly show what was memorised.

    Same letters and digits count as the same sentence, in the language that it is written in: an English transcript
    may be the translation of another utterance.

    Args:
        held_out: data directories, whose task lists are read; a task that they lack is passed over.
        languages: Whisper codes of the lines of ``held_out`` that count; none: all.

    Raises:
        UserError: one of them has no lists, or a list cannot be read.
    """
    for directory in held_out:
        if not any((directory / task / "text").is_file() for task in TASKS):
            raise UserError(f"--held-out {directory}: no lists there. Put a task's text into {directory}/transcribe or "
                            f"{directory}/translate, or leave that set out")
    tasks = [task_lists.task for task_lists in all_lists]
    known = _sentences([path for directory in held_out for task in tasks
                        if (path := directory / task / "text").is_file()], languages)
    if not known:
        return
    for task_lists in all_lists:
        for key, text in task_lists.good("text"):
            if where := known.get(_sentence(key, text)):
                yield task_lists, key, f"the sentence of {key} is in {where}, too. Keep it out of one of the two sets"


def _sentences(lists: Sequence[Path], languages: Collection[str]) -> dict[tuple[str, str], str]:
    """Sentences and the first place that each stands in."""
    known: dict[tuple[str, str], str] = {}
    for path in lists:
        scanned = scan_list(path)
        for (key, text), line in zip(scanned.items.items(), scanned.lines, strict=True):
            if not languages or parse_key(key).language in languages:
                known.setdefault(_sentence(key, text), f"{path}:{line}")
    return known


def _sentence(key: str, text: str) -> tuple[str, str]:
    """The language that a text is written in, and its letters, marks and digits; a text without any stays as it is."""
    parsed = parse_key(key)
    letters = bare_words(text).replace(" ", "") or unicodedata.normalize("NFKC", text).casefold()
    return text_language(parsed.language, parsed.task), letters


def as_problem(doubt: Doubt) -> Problem:
    """A doubt as the problem of a line, for reports."""
    task_lists, key, what = doubt
    scanned = task_lists.lists["text"]
    return Problem(scanned.path, scanned.line_of[key], key, what)
