"""Text normalisers for scoring: what counts as the same word although it is written differently."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from utils.errors import UserError
from utils.score.digits import digit_speller
from utils.score.forms import without_accents
from utils.score.text_rules import RULES_VERSION, apply_rules, rules_for, rules_signature
from utils.score.text_units import split_words

if TYPE_CHECKING:
    from importlib.abc import Traversable  # in Python 3.10; later in importlib.resources.abc. Not needed to run

Normalizer = Callable[[str], str]

NORMALIZERS = ("none", "basic", "whisper-en", "zh", "whisper-basic")
KEEP_NUMBERS = ("none", "whisper-en")  # texts as they are; numbers as digits in any case

_CHINESE = frozenset({"zh", "yue"})


def choose_normalizer(requested: str, language: str, task: str) -> str:
    """The name of the normaliser for one language and task.

    Args:
        requested: one of NORMALIZERS, which is returned as it is, or ``auto``: ``whisper-en`` for English
            transcriptions (``basic`` where the package with Whisper's spelling table is missing),
            ``zh`` for Chinese ones, ``basic`` for the rest, translations included.
        language: Whisper code of the speech.
        task: ``transcribe`` or ``translate``.
    """
    if requested != "auto":
        return requested
    if task == "transcribe" and language == "en" and has_english_spelling():
        return "whisper-en"
    return "zh" if task == "transcribe" and language in _CHINESE else "basic"


def get_normalizer(name: str, spell_in: str | None = None, language: str = "", *,
                   unaccented: bool = False) -> Normalizer:
    """The function for a name in NORMALIZERS. All of them collapse white space and strip both ends.

    Args:
        name: one of NORMALIZERS.
        spell_in: Whisper code of the language in which numbers are spelled out first; None: digits stay.
        language: Whisper code of the texts, for the rules of their language; "" for those of all languages only.
        unaccented: drop the accents of Latin letters.

    Raises:
        UserError: unknown name, or the package that the normaliser needs is missing.
    """
    if name not in _FACTORIES:
        raise UserError(f"unknown normalizer {name!r}. Use one of: {', '.join(NORMALIZERS)}")
    steps = [digit_speller(spell_in)] if spell_in is not None else []
    steps.append(_FACTORIES[name](language))
    if unaccented:
        steps.append(without_accents)

    def normalize(text: str) -> str:
        for step in steps:
            text = step(text)
        return " ".join(text.split())

    return normalize


@cache
def named_normalizer(name: str, language: str) -> Normalizer:
    """The function for a name as scores have it, such as ``basic+spell``, for texts in a language."""
    name, *more = name.split("+")
    return get_normalizer(name, language if "spell" in more else None, language, unaccented="unaccented" in more)


def normalizer_signature(name: str, language: str) -> str | None:
    """What a figure's signature says of its normaliser, so that figures of other rules can be told from it.

    Args:
        name: one of NORMALIZERS, with ``+spell`` where numbers were spelled out, and ``+unaccented`` where accents
            were dropped.
        language: Whisper code of the texts; "" where figures of several languages are joined.

    Returns:
        ``rules:2+turkic-case`` (see utils.score.text_rules), ``rules:openai``, or None for texts as they are.
    """
    name = name.partition("+")[0]
    if name == "none":
        return None
    if name == "whisper-basic":
        return "rules:openai"
    return f"rules:{RULES_VERSION if name == 'whisper-en' else rules_signature(language)}"


def _none(language: str) -> Normalizer:
    return lambda text: text


def _basic(language: str) -> Normalizer:
    """Lower case, NFKC, no brackets, symbols or punctuation; letters keep their marks; the rules of the language."""
    return apply_rules(rules_for(language))


@cache
def _whisper_basic(language: str) -> Normalizer:
    """OpenAI's normaliser for any language (Radford et al. 2022, appendix C), for comparison with published figures.

    It makes a space of every combining mark that NFKC cannot compose: Hindi, Thai and others lose vowels and words.
    """
    from transformers.models.whisper.english_normalizer import BasicTextNormalizer

    return BasicTextNormalizer(remove_diacritics=False)


@cache
def _whisper_en(language: str) -> Normalizer:
    """OpenAI's English normaliser: as basic, and one form for contractions, numbers, titles, spellings.

    Before it, invisible characters go and ``don’t`` becomes ``don't``, the only form it knows. After it, full stops
    that stand alone go: it leaves one of ``...``.
    """
    from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

    if not has_english_spelling():
        raise UserError("the normalizer whisper-en needs Whisper's spelling table. "
                        "Run `pip install whisper-normalizer`, or choose --normalizer basic")
    normalize = EnglishTextNormalizer(json.loads(_spelling_table().read_text(encoding="utf-8")))
    before = apply_rules(rule for rule in rules_for("en") if rule.name in ("invisible", "quotes", "nfkc"))
    return lambda text: " ".join(split_words(normalize(before(text))))


@cache
def _zh(language: str) -> Normalizer:
    """Chinese: full-width forms folded by NFKC, traditional characters made simplified, then as basic."""
    try:
        from opencc import OpenCC
    except ImportError:
        raise UserError("the normalizer zh needs OpenCC. Run `pip install opencc-python-reimplemented`, "
                        "or choose --normalizer basic") from None
    simplify, basic = OpenCC("t2s").convert, _basic(language)
    return lambda text: basic(simplify(unicodedata.normalize("NFKC", text)))


_FACTORIES: dict[str, Callable[[str], Normalizer]] = {
    "none": _none, "basic": _basic, "whisper-en": _whisper_en, "zh": _zh, "whisper-basic": _whisper_basic}


def _spelling_table() -> Traversable:
    """OpenAI's ``english.json``: transformers has the code that uses it, but no copy of the table."""
    return files("whisper_normalizer") / "normalizers" / "english.json"


@cache
def has_english_spelling() -> bool:
    """Whether Whisper's table of British and American spellings is installed."""
    try:
        return _spelling_table().is_file()
    except ModuleNotFoundError:
        return False
