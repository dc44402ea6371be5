"""Texts as they are trained on and scored: composed accents, no invisible characters, a stated rule for tags."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

from utils.data.silent_references import NO_SPEECH
from utils.data.task_lists import TaskLists

TAG_RULES = ("keep", "remove", "drop")
# Soft hyphen, zero-width space, word joiner, byte order mark, marks of writing direction. The zero-width joiner and
# non-joiner (U+200C, U+200D) stay: Persian and Indic scripts are spelled with them.
_UNSEEN = re.compile("[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]")
_SOUNDS = ("unk", "unknown", "noise", "background noise", "laugh", "laughs", "laughing", "laughter", "cough", "coughs",
           "coughing", "breath", "breathing", "sigh", "sighs", "sneeze", "lipsmack", "music", "music playing",
           "applause", "silence", "pause", "inaudible", "unintelligible", "indistinct", "crosstalk", "hesitation",
           "spoken noise", "vocalized noise", "human noise", "non speech", "no speech", "foreign")
# <unk>, <noise/>, <SPN>; [noise], [laughter]; (laughs), only where the parentheses hold one of these words.
_TAG = re.compile(r"</?[A-Za-z][\w -]{0,30}/?>|\[[\w -]{1,30}\]|\((?:" + "|".join(
    re.escape(sound).replace(r"\ ", "[ _-]") for sound in _SOUNDS) + r")\)", re.IGNORECASE)


def clean_text(text: str) -> str:
    """A text in Unicode's composed form (NFC), without invisible characters, with single spaces."""
    if text.isascii():
        return " ".join(text.split())
    return " ".join(unicodedata.normalize("NFC", _UNSEEN.sub("", text)).split())


def clean_texts(task_lists: TaskLists) -> Counter[str]:
    """Clean the texts of a task's lists in place; refuse those of which nothing is left.

    Returns:
        How many texts were changed, by the kind of change, and how many are ``<nospeech>``.
    """
    items = task_lists.lists["text"].items
    counts = Counter[str]()
    for key, text in list(task_lists.good("text")):
        if NO_SPEECH in text and text.split() != [NO_SPEECH]:
            task_lists.refuse("text", key, f"the text of {key} has {NO_SPEECH} beside words. It stands alone, where "
                                           "nobody speaks; delete one or the other")
        counts["without speech (<nospeech>)"] += text == NO_SPEECH
        if (cleaned := clean_text(text)) == text:
            continue
        counts["invisible characters removed"] += bool(_UNSEEN.search(text))
        counts["accents composed (NFC)"] += unicodedata.normalize("NFC", text) != text
        items[key] = cleaned
        if not cleaned:
            task_lists.refuse("text", key, f"the text of {key} has invisible characters only. Write it, or delete the "
                                           "line")
    return counts


def find_tags(text: str) -> list[str]:
    """Tags of sounds and of words that were not understood, as transcripts have them: ``<unk>``, ``[noise]``."""
    return _TAG.findall(text) if not text.isalnum() and text != NO_SPEECH else []


def remove_tags(task_lists: TaskLists) -> int:
    """Remove tags from the texts of a task's lists in place; refuse those of which nothing is left.

    Returns:
        The number of texts that had tags.
    """
    items = task_lists.lists["text"].items
    n_changed = 0
    for key, text in list(task_lists.good("text")):
        if find_tags(text):
            n_changed += 1
            items[key] = " ".join(_TAG.sub(" ", text).split())
            if not items[key]:
                task_lists.refuse("text", key, f"the text of {key} is {text}, which --tags remove leaves nothing of. "
                                               "Write what is said, or delete the line")
    return n_changed
