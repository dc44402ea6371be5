"""Outputs that are wrong as a whole: empty, looping, made up, in the wrong language, of the wrong task.

The rules are simple and find only blatant cases. :func:`find_faults` compares the hypothesis with its reference, so
that "two two two two" is no loop if it was said; :func:`inspect_translation` compares with the transcript only.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from rapidfuzz.distance import Levenshtein

from utils.data.languages import is_spaceless
from utils.data.lists import parse_key
from utils.score.language_id import foreign_language
from utils.score.metrics import TextPair
from utils.score.text_units import split_mixed

KINDS = {
    "empty": "nothing was written although something was said",
    "loop": "a phrase repeated over and over",
    "too long": "far longer than the reference: probably made up",
    "too short": "most of the reference is missing",
    "wrong script": "letters of another script than the reference's: probably another language",
    "wrong language": "reads as another language than the one that was asked for",
    "wrong task": "translated instead of transcribed, or the reverse",
}

_LONGEST_PHRASE = 8
_REPEATS = 4
_MARGIN = 5  # a hypothesis may always be longer by so many units
_LONG, _SHORT = 2.0, 0.3  # lengths that are too long and too short, as multiples of the reference's
_OWN_LANGUAGE = 0.5  # wrong task: at least this similar to the other task's reference,
_CLOSER = 0.25  # and more similar to it than to its own reference by this much
_SAME_LANGUAGE = 0.5  # a hypothesis that shares so many of its units with its reference is in its language
# Limits for translations into English, which have no reference:
_WORDS_PER_SECOND = 7  # faster than anyone speaks
_LONG_ENGLISH = 3.0  # times the transcript's words; a word of Korean or Tamil can be two or three in English
_SHORT_OF_CHARACTERS = 0.1  # an English word stands for one or two characters of Chinese, for four or five of Thai


class Suspect(NamedTuple):
    """An utterance whose output is wrong as a whole."""

    key: str
    kind: str  # of KINDS
    detail: str


def find_faults(utterance: TextPair, other_reference: str | None = None) -> list[Suspect]:
    """The faults of a hypothesis, at most one of each kind.

    Args:
        utterance: its texts may be raw or normalised.
        other_reference: the reference of the same utterance in the other task, if there is one.
    """
    reference, hypothesis = (split_mixed(_letters(text)) for text in (utterance.reference, utterance.hypothesis))
    if not reference or reference == hypothesis:
        return []
    if not hypothesis:
        return [Suspect(utterance.key, "empty", f"{len(reference)} units in the reference")]
    found = {"loop": _loop(reference, hypothesis), "wrong script": _wrong_script(reference, hypothesis),
             **_wrong_language(utterance, reference, hypothesis)}
    found["wrong task"] = _wrong_task(reference, hypothesis, other_reference) or found.get("wrong task", "")
    lengths = f"{len(hypothesis)} units, reference {len(reference)}"
    if len(hypothesis) > _LONG * len(reference) + _MARGIN:
        found["too long"] = lengths
    if len(reference) > _MARGIN and len(hypothesis) < _SHORT * len(reference):
        found["too short"] = lengths
    return [Suspect(utterance.key, kind, found[kind]) for kind in KINDS if found.get(kind)]


def inspect_translation(key: str, transcript: str, translation: str, seconds: float) -> list[Suspect]:
    """The faults of a translation into English that has no reference, at most one of each kind.

    Args:
        key: the key of the translation.
        transcript: what was said, in its own language.
        seconds: length of the audio.
    """
    said, written = (split_mixed(_letters(text)) for text in (transcript, translation))
    if not written:
        return [Suspect(key, "empty", f"{len(said)} units in the transcript")]
    found = {"loop": _loop(said, written), "wrong script": _wrong_script(["latin"], written)}
    if len(said) > 1 and Levenshtein.normalized_similarity(written, said) >= _OWN_LANGUAGE:
        found["wrong task"] = "the transcript again, not its translation"
    if not any(found.values()) and (foreign := foreign_language(translation, "en")):
        found["wrong language"] = f"reads as {foreign}, not en"
    if len(written) > min(_WORDS_PER_SECOND * seconds, _LONG_ENGLISH * len(said)) + _MARGIN:
        found["too long"] = f"{len(written)} words for {seconds:.1f} s and {len(said)} units in the transcript"
    short = _SHORT_OF_CHARACTERS if is_spaceless(parse_key(key).language) else _SHORT
    if len(said) > 2 * _MARGIN and len(written) < short * len(said):
        found["too short"] = f"{len(written)} words, {len(said)} units in the transcript"
    return [Suspect(key, kind, found[kind]) for kind in KINDS if found.get(kind)]


class _LettersTable(dict[int, int]):
    """For str.translate: letters, marks and numbers stay, everything else becomes a space."""

    def __missing__(self, code: int) -> int:
        return self.setdefault(code, code if unicodedata.category(chr(code))[0] in "LMN" else ord(" "))


_LETTERS_TABLE = _LettersTable()


def _letters(text: str) -> str:
    """Lower case; punctuation and symbols become spaces."""
    return text.lower().translate(_LETTERS_TABLE)


def longest_repetition(units: Sequence[str]) -> tuple[int, list[str]]:
    """The longest stretch that repeats a phrase of up to 8 units: the number of repetitions, and the phrase."""
    phrase: list[str] = []
    best, stretch = 1, 0
    if len(set(units)) == len(units):
        return best, phrase
    for size in range(1, min(_LONGEST_PHRASE, len(units) // 2) + 1):
        run = 0
        for index in range(size, len(units)):
            run = run + 1 if units[index] == units[index - size] else 0
            repeats = run // size + 1
            if repeats >= 2 and repeats * size > stretch:
                best, stretch, phrase = repeats, repeats * size, [*units[index - size + 1:index + 1]]
    return best, phrase


def _loop(reference: Sequence[str], hypothesis: Sequence[str]) -> str:
    repeats, phrase = longest_repetition(hypothesis)
    if repeats < _REPEATS or repeats <= 1.5 * longest_repetition(reference)[0]:
        return ""
    return f"{repeats} times: {' '.join(phrase)}"


@cache
def _script(char: str) -> str:
    """LATIN, CYRILLIC, CJK …: the first word of a letter's Unicode name. Kana count as CJK: Japanese has both."""
    script = unicodedata.name(char, "").partition(" ")[0]
    return "CJK" if script in ("HIRAGANA", "KATAKANA") else script


def _scripts(units: Sequence[str]) -> Counter[str]:
    return Counter(map(_script, filter(str.isalpha, "".join(units))))


def _wrong_script(reference: Sequence[str], hypothesis: Sequence[str]) -> str:
    expected, found = _scripts(reference), _scripts(hypothesis)
    foreign = Counter({script: count for script, count in found.items() if script not in expected})
    if not expected or 2 * foreign.total() <= found.total():
        return ""
    return f"{foreign.most_common(1)[0][0].lower()} letters, reference {expected.most_common(1)[0][0].lower()}"


def _wrong_language(utterance: TextPair, reference: Sequence[str], hypothesis: Sequence[str]) -> dict[str, str]:
    """Kind and detail for a hypothesis in another language; if that is the other task's, the kind is wrong task."""
    said = set(reference)
    if sum(unit in said for unit in hypothesis) >= _SAME_LANGUAGE * len(hypothesis):
        return {}
    found = foreign_language(utterance.hypothesis, utterance.text_language)
    if found is None:
        return {}
    of_other_task = utterance.language if utterance.task == "translate" else "en"
    kind = "wrong task" if found == of_other_task else "wrong language"
    return {kind: f"reads as {found}, not {utterance.text_language}"}


def _wrong_task(reference: Sequence[str], hypothesis: Sequence[str], other_reference: str | None) -> str:
    other = split_mixed(_letters(other_reference or ""))
    if len(other) < 2:
        return ""
    own, others = (Levenshtein.normalized_similarity(hypothesis, side) for side in (reference, other))
    if others < _OWN_LANGUAGE or others < own + _CLOSER:
        return ""
    return f"similarity to the other task's reference {others:.2f}, to its own {own:.2f}"
