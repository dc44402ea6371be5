"""The rules of the normaliser ``basic``: which differences in spelling do not make another word.

Letters keep their marks: in Hindi, Thai or Khmer the vowels of a word are marks, and without them it is another word.
Dropped is only what readers of a language leave out themselves, such as the vowel points of Arabic and Hebrew, and what
nobody sees or says. Each rule has a name; ``RULES`` has them in the order in which they are applied. Change
``RULES_VERSION`` whenever a figure could change, so that scores of before and after are not compared.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import regex

RULES_VERSION = 2  # 1: OpenAI's BasicTextNormalizer, which makes spaces of marks

SPOKEN_SIGNS = frozenset("\u104c\u104d\u104e\u104f")  # Burmese ၌ ၍ ၎ ၏: words, although Unicode calls them punctuation

TextRule = Callable[[str], str]


class Rule(NamedTuple):
    """A rule and the languages (Whisper codes) that it is for; ``None``: all."""

    name: str
    apply: TextRule
    languages: frozenset[str] | None = None


class _ByCharacter(dict[int, "str | int"]):
    """For str.translate: a table that asks a function once for each character that it meets."""

    def __init__(self, replacement: Callable[[str], str]) -> None:
        super().__init__()
        self._replacement = replacement

    def __missing__(self, code: int) -> str | int:
        return self.setdefault(code, self._replacement(chr(code)))


def _by_character(replacement: Callable[[str], str]) -> TextRule:
    table = _ByCharacter(replacement)
    return lambda text: text.translate(table)


def _replacing(pairs: Mapping[str, str]) -> TextRule:
    pattern = regex.compile("|".join(map(regex.escape, pairs)))
    return lambda text: pattern.sub(lambda match: pairs[match.group()], text)


def _substituting(pattern: str, replacement: str = "") -> TextRule:
    compiled = regex.compile(pattern)
    return lambda text: compiled.sub(replacement, text)


# Letters that older text writes as consonant, virama and zero-width joiner: Malayalam's chillus, Bengali's khanda ta.
_ONE_LETTER = {"\u0d23\u0d4d\u200d": "\u0d7a", "\u0d28\u0d4d\u200d": "\u0d7b", "\u0d30\u0d4d\u200d": "\u0d7c",
               "\u0d32\u0d4d\u200d": "\u0d7d", "\u0d33\u0d4d\u200d": "\u0d7e", "\u0d15\u0d4d\u200d": "\u0d7f",
               "\u09a4\u09cd\u200d": "\u09ce"}

# What has no shape of its own and is no format character (Cf): fillers of Hangul, inherent vowels of Khmer, the
# combining grapheme joiner, variation selectors.
_INVISIBLE = regex.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0"
                           "\U000e0100-\U000e01ef]")


def _without_invisible(char: str) -> str:
    if char == "\u200b":  # the zero-width space parts words
        return " "
    return "" if unicodedata.category(char) == "Cf" or _INVISIBLE.match(char) else char


# Typists take one for the other; which of them are part of a word is decided by _IN_WORD.
_QUOTES = {**dict.fromkeys("\u02bb\u02bc\u2018\u2019\u201b\u2032\u00b4`\u05f3\u055a\uff07", "'"), "\u0149": "'n",
           **dict.fromkeys("\u05f4\u201c\u201d\u201e\u2033", '"'),
           **dict.fromkeys("\u2027\u2219\u2022\u22c5", "\u00b7")}
_QUOTE_TABLE = str.maketrans(_QUOTES)


def _nfkc(text: str) -> str:
    return unicodedata.normalize("NFKC", text)


def _lower_case(text: str) -> str:
    """Lower case. ``İ`` becomes ``i`` without the dot that Unicode would put above it once more."""
    return text.replace("İ", "i").lower().replace("i\u0307", "i")


def _turkic_case(text: str) -> str:
    return _lower_case(text.replace("I", "ı"))


def _ascii_digit(char: str) -> str:
    return str(unicodedata.decimal(char)) if unicodedata.category(char) == "Nd" else char


def _without_macrons(text: str) -> str:
    parts = unicodedata.normalize("NFD", text)
    return unicodedata.normalize("NFC", parts.replace("\u0304", "").replace("\u0306", ""))


_BETWEEN_LETTERS = r"(?<=[\p{L}\p{M}])'(?=\p{L})"
# Signs that belong to a word's spelling: they stay where these patterns match.
_IN_WORD = {
    **dict.fromkeys(("be", "uk", "sn", "so", "sw"), _BETWEEN_LETTERS),  # п'ять, n'anga, ba'an, ng'ombe
    "br": r"(?<=c)'(?=h)",  # c'hoar
    "ha": rf"{_BETWEEN_LETTERS}|'(?=y)",  # 'ya
    "haw": rf"{_BETWEEN_LETTERS}|(?<!\p{{L}})'(?=[aeiouāēīōū])",  # the ʻokina
    "uz": rf"{_BETWEEN_LETTERS}|(?<=[og])'",  # oʻ and gʻ are letters
    **dict.fromkeys(("he", "yi"), r"""(?<=[\p{L}\p{M}])['"](?=\p{L})"""),  # geresh and gershayim: צ'יפס, צה"ל
    **dict.fromkeys(("ca", "oc"), r"(?<=\p{L})·(?=\p{L})"),  # col·legi
}


def _is_sign(char: str) -> bool:
    return unicodedata.category(char)[0] in "SP" and char not in SPOKEN_SIGNS


_signs_to_spaces = _by_character(lambda char: " " if _is_sign(char) else char)


def _without_signs(language: str) -> TextRule:
    """Punctuation and symbols become spaces, except those that belong to a word's spelling."""
    if language not in _IN_WORD:
        return _signs_to_spaces
    kept = regex.compile(_IN_WORD[language])

    def without_signs(text: str) -> str:
        found = [*kept.finditer(text)]
        ends = [0, *(match.end() for match in found)]
        starts = [*(match.start() for match in found), len(text)]
        between = [_signs_to_spaces(text[end:start]) for end, start in zip(ends, starts, strict=True)]
        return between[0] + "".join(match.group() + rest for match, rest in zip(found, between[1:], strict=True))

    return without_signs


_stray_marks = regex.compile(r"(?<![\p{L}\p{M}\p{N}])\p{M}+")


def _tidy(text: str) -> str:
    """No marks without a letter below them; composed again where something between letter and mark was dropped."""
    return " ".join(unicodedata.normalize("NFC", _stray_marks.sub("", text)).split())


def _of(*languages: str) -> frozenset[str]:
    return frozenset(languages)


_ARABIC_SCRIPT = _of("ar", "fa", "ps", "sd", "ur")
_ARABIC_KEYBOARD = {"\u064a": "\u06cc", "\u0649": "\u06cc", "\u0643": "\u06a9"}  # ي ى ك for ی ک
_TURKIC = _of("az", "tr")

_BEFORE_CASE = (
    Rule("one-letter", _replacing(_ONE_LETTER), _of("as", "bn", "ml")),
    Rule("invisible", _by_character(_without_invisible)),
    Rule("quotes", lambda text: text.translate(_QUOTE_TABLE)),
    # <unk>, [noise], (laughs), with full-width brackets, too; before NFKC, which puts some numbers in brackets (⑴).
    Rule("brackets", _substituting(r"[<\[＜［][^>\]＞］]*[>\]＞］]|[(（][^)）]+?[)）]")),
    Rule("nfkc", _nfkc),
    # NFKC takes the vowel am of Thai and Lao apart, and typists put the tone on either side of its ring.
    Rule("sara-am", _substituting("\u0e4d([\u0e48-\u0e4b]?)\u0e32", "\\1\u0e33"), _of("th")),
    Rule("sara-am", _substituting("\u0ecd([\u0ec8-\u0ecb]?)\u0eb2", "\\1\u0eb3"), _of("lo")),
)
_AFTER_CASE = (
    Rule("digits", _by_character(_ascii_digit)),  # ५ and ٥ are 5
    Rule("harakat", _substituting("[\u0610-\u061a\u064b-\u0652\u0656-\u065f\u0670\u06d6-\u06dc\u06df-\u06e8"
                                  "\u06ea-\u06ed]"), _ARABIC_SCRIPT),
    Rule("wasla", _replacing({"\u0671": "\u0627"}), _ARABIC_SCRIPT),
    Rule("tatweel", _replacing({"\u0640": ""}), _ARABIC_SCRIPT),
    Rule("arabic-keyboard", _replacing(_ARABIC_KEYBOARD | {"\u0647\u0654": "\u06c0"}), _of("fa")),
    Rule("arabic-keyboard", _replacing(_ARABIC_KEYBOARD | {"\u0647": "\u06c1"}), _of("ur")),
    # Attached, put apart, or parted by a zero-width non-joiner: می‌روم, می روم, میروم.
    Rule("affixes", _substituting(r"(?<!\w)(ن?می)\s+(?=\w)|(?<=\w)\s+(ها(?:یی?)?)(?!\w)", r"\1\2"), _of("fa")),
    Rule("niqqud", _substituting("[\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7]"), _of("he")),
    Rule("digraphs", _replacing({"\u05f0": "וו", "\u05f1": "וי", "\u05f2": "יי"}), _of("yi")),
    Rule("comma-below", _replacing({"ş": "ș", "ţ": "ț"}), _of("ro")),
    Rule("stress", _substituting("(?<=[\u0400-\u052f])[\u0300\u0301]"), _of("be", "bg", "mk", "ru", "sr", "uk")),
    Rule("macrons", _without_macrons, _of("la")),
)


def rules_for(language: str) -> list[Rule]:
    """The rules of a language in the order in which they are applied.

    Args:
        language: Whisper code; "" for those rules only that all languages have.
    """
    case = Rule("turkic-case", _turkic_case, _TURKIC) if language in _TURKIC else Rule("lower-case", _lower_case)
    own = frozenset({language}) if language in _IN_WORD else None
    signs = Rule("in-word-signs" if own else "signs", _without_signs(language), own)
    rules = (*_BEFORE_CASE, case, *_AFTER_CASE, signs, Rule("tidy", _tidy))
    return [rule for rule in rules if rule.languages is None or language in rule.languages]


def apply_rules(rules: Iterable[Rule]) -> TextRule:
    """One function that applies rules one after the other."""
    functions = [rule.apply for rule in rules]

    def applied(text: str) -> str:
        for function in functions:
            text = function(text)
        return text

    return applied


def rules_signature(language: str) -> str:
    """``2``, or ``2+harakat+wasla+tatweel``: the version, and the rules that only some languages have."""
    own = dict.fromkeys(rule.name for rule in rules_for(language) if rule.languages is not None)
    return "+".join([str(RULES_VERSION), *own])
