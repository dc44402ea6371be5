"""Names and codes of the languages that Whisper knows."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from functools import cache, lru_cache

from utils.errors import UserError

_SPACELESS = frozenset({"zh", "yue", "ja", "th", "lo", "my", "km", "bo"})
# Whisper's tokenizer has hardly any tokens for their scripts; measured in tests/decode/test_loops.py.
_SPELLED_IN_BYTES = frozenset({"am", "as", "bn", "bo", "gu", "hy", "ka", "km", "kn", "lo", "ml", "my", "pa", "si",
                               "te"})


@cache
def _codes() -> dict[str, str]:
    """Every lower-case name and code mapped to its code."""
    from transformers.models.whisper.tokenization_whisper import LANGUAGES, TO_LANGUAGE_CODE

    return {**TO_LANGUAGE_CODE, **{code: code for code in LANGUAGES}}


@lru_cache(maxsize=4096)  # difflib is slow, and a list that has one unknown name has it on many lines
def _complaint(name: str) -> str:
    nearest = difflib.get_close_matches(name.lower(), _codes(), n=3)
    remedy = f"Did you mean {' or '.join(nearest)}?" if nearest else \
        "Use a name or code that Whisper knows, such as english or en"
    return f"unknown language {name!r}. {remedy}"


def language_code(name: str) -> str:
    """Whisper's code (``zh``) of a language given as any name or code Whisper knows (``Mandarin``, ``zh``).

    Case does not matter, and ``_`` may stand for the space of ``haitian creole``, which no list key can hold.

    Raises:
        ValueError: the name is unknown; the message suggests the nearest ones.
    """
    code = _codes().get(name) or _codes().get(name.lower().replace("_", " "))
    if code is None:
        raise ValueError(_complaint(name))
    return code


def language_name(code: str) -> str:
    """Whisper's name (``chinese``) of a code that it knows."""
    from transformers.models.whisper.tokenization_whisper import LANGUAGES

    return LANGUAGES[code]


def all_codes() -> frozenset[str]:
    """The codes of all languages that Whisper knows."""
    return frozenset(_codes().values())


def chosen_languages(option: str, available: Collection[str]) -> list[str]:
    """The languages that ``--languages`` names of those a corpus has; all of them where it names none.

    Args:
        option: names or codes that Whisper knows, between them white space or commas.
        available: Whisper codes.

    Raises:
        UserError: a name is unknown, or the corpus does not have the language.
    """
    codes = []
    for name in option.replace(",", " ").split():
        try:
            codes.append(name if name in available else language_code(name))
        except ValueError as error:
            raise UserError(f"--languages: {error}") from None
        if codes[-1] not in available:
            raise UserError(f"--languages {name}: this corpus has {' '.join(available)} only")
    return list(dict.fromkeys(codes)) or list(available)


def is_spaceless(code: str) -> bool:
    """Whether a language (Whisper code) is written without spaces, so that CER takes the place of WER."""
    return code in _SPACELESS


def tokens_per_character(code: str) -> int:
    """Whisper's tokens that a character of a language (Whisper code) may take: 3 where it is spelled byte by byte.

    It is 1 for all other languages, whose tokens are a character or longer.
    """
    return 3 if code in _SPELLED_IN_BYTES else 1
