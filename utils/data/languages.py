"""Names and codes of the languages that Whisper knows."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from utils.errors import UserError

if TYPE_CHECKING:
    from langcodes import Language

_SPACELESS = frozenset({"zh", "yue", "ja", "th", "lo", "my", "km", "bo"})
# Whisper's tokenizer has hardly any tokens for their scripts; measured in tests/decode/test_loops.py.
_SPELLED_IN_BYTES = frozenset({"am", "as", "bn", "bo", "gu", "hy", "ka", "km", "kn", "lo", "ml", "my", "pa", "si",
                               "te"})


# langcodes writes CLDR's codes; these are named by another one in Whisper.
_OTHER_CODES = {"jv": "jw", "fil": "tl", "nb": "no"}
_NO_LANGUAGE = ("und", "mul", "mis", "zxx")  # ISO 639: undetermined, several, uncoded, no language
_MAX_DISTANCE = 25  # of a language that is suggested in place of another, in CLDR's measure: readers understand it


@cache
def _codes() -> dict[str, str]:
    """Whisper's code by lower-case name and by code."""
    from transformers.models.whisper.tokenization_whisper import LANGUAGES, TO_LANGUAGE_CODE

    return {**TO_LANGUAGE_CODE, **{code: code for code in LANGUAGES}}


@lru_cache(maxsize=4096)  # difflib is slow, and an unknown name is usually on many lines of a list
def _unknown_language(name: str) -> str:
    tag = _tag(name)
    if tag and tag.language not in _NO_LANGUAGE and tag.is_valid():
        nearest = _related(tag.language)
        remedy = (f"Whisper was not trained for {tag.language_name()}"
                  + (f"; the nearest that it knows is {nearest}" if nearest else ""))
    elif found := difflib.get_close_matches(name.lower(), [key for key in _codes() if len(key) > 3], n=3):
        remedy = f"Did you mean {' or '.join(found)}?"
    else:
        remedy = "Use a name or code that Whisper knows, such as english or en"
    return f"unknown language {name!r}. {remedy}"


def _related(code: str | None) -> str:
    """Whisper's name of the language that readers of another one understand best, "" if there is none."""
    import langcodes

    known = sorted(all_codes())
    match, _ = langcodes.closest_match(code or "und", known, max_distance=_MAX_DISTANCE)
    return language_name(match) if match in known else ""


def _tag(name: str) -> Language | None:
    """A BCP 47 tag, an ISO 639 code or a language's name in any language, read by langcodes; None if it is none."""
    import langcodes

    try:
        tag = langcodes.Language.get(name)
        return tag if tag.language else None
    except ValueError:
        pass
    return _named(name.replace("_", " "), "en") or _named(name.replace("_", " "), "und")


def _named(name: str, language: str) -> Language | None:
    """The language with exactly this name in ``language``, ``und`` for any; None if there is none.

    ``langcodes.find`` alone would also take the first letters of a name for it: ``chineese`` for Chin.
    """
    import langcodes
    from language_data.names import TRIES, normalize_name

    try:
        found = langcodes.find(name, language)
    except LookupError:
        return None
    return found if normalize_name(name) in TRIES[f"{language}/name_to_language"] else None


@lru_cache(maxsize=4096)
def language_code(name: str) -> str:
    """Return Whisper's code (``zh``) of a language, as people write it.

    Understood are Whisper's names and codes (``Mandarin``, ``zh``), BCP 47 tags, whose region and script are dropped
    (``zh-TW``, ``pt_BR``), ISO 639-1, -2 and -3 (``ger``, ``cmn``), withdrawn codes (``iw``), and names in any case and
    language (``français``). ``_`` is read as a space, which a key cannot have in it: ``haitian_creole``.

    Raises:
        ValueError: the name is unknown; the message suggests the nearest ones.
    """
    known = _codes()
    if code := known.get(name) or known.get(name.lower().replace("_", " ")):
        return code
    if tag := _tag(name):
        import langcodes

        standard = langcodes.standardize_tag(tag.language or "und", macro=True)  # cmn: zh, swh: sw
        for code in (tag.language or "", standard):
            code = _OTHER_CODES.get(code, code)
            if code in known.values():
                return code
    raise ValueError(_unknown_language(name))


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
