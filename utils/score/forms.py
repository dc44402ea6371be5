"""The forms in which texts are scored: what was spoken, how it was written, and texts as they are.

``8`` for "eight" and a missing accent are no mistakes of understanding, but a corpus may write numbers and accents in
one way only, and a model learns that from a few examples. So the spoken form leads, the written one stands beside it.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

SPOKEN = "spoken"  # numbers in words; no accents in languages whose references have hardly any
WRITTEN = "written"  # normalised, but numbers and accents stay
RAW = "raw"
FORMS = (SPOKEN, WRITTEN, RAW)  # the first that there is leads
TITLES_OF_FORMS = {SPOKEN: "spoken form", WRITTEN: "written form", RAW: "raw text"}

_NO_SPOKEN_FORM = ("none", "whisper-en", "whisper-basic")  # texts as they are; numbers as digits; published figures
_ENOUGH_LETTERS = 2000  # of Latin script
_FEW_ACCENTS = 0.003  # of the letters; Italian, which has few, has 4 to 9 in a thousand


def spell_digits(normalizer: str, digits: str) -> str:
    """``keep`` or ``spell`` for ``--digits auto``: spell, where the normaliser has a spoken form."""
    if digits == "auto":
        return "keep" if normalizer in _NO_SPOKEN_FORM else "spell"
    return digits


def form_of(row: Mapping[str, Any]) -> str:
    """The form of a row of scores.json or a line of utterances.jsonl; those of before 2026-11-26 do not name it."""
    named = row.get("form")
    return named if named in FORMS else RAW if row["normalizer"] == "none" else WRITTEN


def leading_form(rows: Iterable[Mapping[str, Any]]) -> str:
    """The form of the main scores among some."""
    found = {form_of(row) for row in rows}
    return next((form for form in FORMS if form in found), WRITTEN)


def languages_without_accents(references: Iterable[tuple[str, str]]) -> frozenset[str]:
    """The languages of Latin letters whose references have hardly any accents, so that an accent is no mistake.

    That is fewer than 3 in 1000 letters, of 2000 letters or more.

    Args:
        references: pairs of language (Whisper code) and text.
    """
    letters: Counter[str] = Counter()
    accents: Counter[str] = Counter()
    for language, text in references:
        for char in filter(_is_latin, unicodedata.normalize("NFC", text)):
            letters[language] += 1
            accents[language] += _without_accent(char) != char
    return frozenset(language for language, count in letters.items()
                     if count >= _ENOUGH_LETTERS and accents[language] < _FEW_ACCENTS * count)


def without_accents(text: str) -> str:
    """Latin letters without their accents: ``ñandú`` becomes ``nandu``. Other scripts stay as they are."""
    return "".join(map(_without_accent, unicodedata.normalize("NFC", text)))


@cache
def _is_latin(char: str) -> bool:
    return unicodedata.name(char, "").startswith("LATIN")


@cache
def _without_accent(char: str) -> str:
    if not _is_latin(char):
        return char
    return "".join(part for part in unicodedata.normalize("NFD", char) if not unicodedata.combining(part)) or char
