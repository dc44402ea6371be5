"""What the readers of foreign data find: utterances, and entries that cannot be used, with the place of each."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from utils.data.corpus_lists import LeftOut
from utils.data.languages import language_code
from utils.data.lists import TASKS
from utils.errors import UserError


@dataclass(frozen=True)
class ImportOptions:
    """What a source does not say itself; import_data.py has an option for every field.

    Attributes:
        language: name or code, of entries without a language.
        task: what the text of a source is that has only one: ``transcribe`` or ``translate``.
        columns: names of columns by meaning (audio, text, translation, language, speaker, id).
        config, split: of a data set on the Hugging Face hub.
        streaming: whether a data set on the hub is read as it comes, without a copy on this machine.
        shards: tar files with the audio of a manifest, a pattern.
        clips: directory of the audio files that a table names.
    """

    language: str = ""
    task: str = "transcribe"
    columns: Mapping[str, str] = field(default_factory=dict)
    config: str = ""
    split: str = "train"
    streaming: bool = False
    shards: str = ""
    clips: Path | None = None

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise UserError(f"--task {self.task}: use one of {' '.join(TASKS)}")


@dataclass(frozen=True)
class Found:
    """An utterance of foreign data.

    Attributes:
        where: its place, such as file:line.
        language: as the source writes it; empty if it does not say it.
        targets: texts by task; empty texts mean that there is none.
        audio: a file, or an entry of wav.scp; "" if the audio is inside a container.
        id: its name; empty if the source has none.
        start, end: the part of ``audio``, seconds; None: all of it.
        content: gives the bytes of an audio file inside a container.
        name: name of that file, for messages and ids.
    """

    where: str
    language: str
    targets: dict[str, str]
    audio: str = ""
    id: str = ""
    speaker: str = ""
    start: float | None = None
    end: float | None = None
    content: Callable[[], bytes] | None = None
    name: str = ""


Entry = Found | LeftOut
Reader = Callable[[str, ImportOptions], Iterator[Entry]]
"""Reads a source: yields what it has, in its order. Raises a UserError if the source is not of this kind."""


def text_value(value: Any, where: str, name: str) -> str:
    """A text of a record: "" for null and NaN, single spaces.

    Raises:
        UserError: the value is no string: a number or an object must not become a text.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if not isinstance(value, str):
        raise UserError(f"{where}: {name} is {value!r:.60}, not a string. Correct it, or name another column")
    return " ".join(value.split())


def seconds_value(value: Any, where: str, name: str) -> float | None:
    """A time of a record in seconds; None for null and NaN.

    Raises:
        UserError: the value is no number.
    """
    if value is None or value == "":
        return None
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        raise UserError(f"{where}: {name} is {value!r:.60}, not a number of seconds") from None
    return None if math.isnan(seconds) else seconds


def target_by_languages(text: str, source: str, target: str, task: str) -> tuple[dict[str, str], str]:
    """The text as a target by the languages that it is from and in, and why it is none, or "".

    Args:
        source, target: languages of speech and text; empty: not known.
        task: what the text is if the languages do not tell.
    """
    if source and target and not _same(source, target):
        if not _same(target, "en"):
            return {}, f"the text is in {target}; Whisper translates into English only"
        task = "translate"
    elif source and target:
        task = "transcribe"
    return ({task: text}, "") if text else ({}, "no text")


def _same(one: str, other: str) -> bool:
    try:
        return language_code(one) == language_code(other)
    except ValueError:
        return one.lower() == other.lower()
