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
    """Whisper's code by lower-case name and by code."""
    from transformers.models.whisper.tokenization_whisper import LANGUAGES, TO_LANGUAGE_CODE

    return {**TO_LANGUAGE_CODE, **{code: code for code in LANGUAGES}}


@lru_cache(maxsize=4096)  # difflib is slow, and an unknown name is usually on many lines of a list
def _unknown_language(name: str) -> str:
    nearest = difflib.get_close_matches(name.lower(), _codes(), n=3)
    remedy = f"Did you mean {' or '.join(nearest)}?" if nearest else \
        "Use a name or code that Whisper knows, such as english or en"
    return f"unknown language {name!r}. {remedy}"


def language_code(name: str) -> str:
    """Return Whisper's code (``zh``) of a language, given as a name or code that Whisper knows (``Mandarin``, ``zh``).

    Case does not matter. ``_`` is read as a space, which a key cannot have in it: ``haitian_creole``.

    Raises:
        ValueError: the name is unknown; the message suggests the nearest ones.
    """
    code = _codes().get(name) or _codes().get(name.lower().replace("_", " "))
    if code is None:
        raise ValueError(_unknown_language(name))
    return code


def language_name(code: str) -> str:
    """Return Whisper's name (``chinese``) for a code. Raises KeyError for an unknown code."""
    from transformers.models.whisper.tokenization_whisper import LANGUAGES

    return LANGUAGES[code]


def all_codes() -> frozenset[str]:
    """Return the codes of all languages that Whisper knows."""
    return frozenset(_codes().values())


def chosen_languages(option: str, available: Collection[str]) -> list[str]:
    """Return the codes that ``--languages`` names, each once; all of ``available`` if it names none.

    Args:
        option: value of ``--languages``: names or codes, separated by white space or commas.
        available: Whisper's codes of the corpus' languages.

    Raises:
        UserError: a name is unknown, or the corpus lacks the language.
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


def text_language(language: str, task: str) -> str:
    """Whisper code of the language that a target's text is in, for speech in ``language``: translations are English."""
    return "en" if task == "translate" else language


def is_spaceless(code: str) -> bool:
    """Whether a language (Whisper code) is written without spaces, so that CER is used instead of WER."""
    return code in _SPACELESS


def tokens_per_character(code: str) -> int:
    """Whisper's tokens that a character of a language (Whisper code) may take: 3 where it is spelled byte by byte.

    It is 1 for all other languages, whose tokens are a character or longer.
    """
    return 3 if code in _SPELLED_IN_BYTES else 1
