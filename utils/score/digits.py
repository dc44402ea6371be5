"""Numbers in digits spelled out, for references that have them in words: num2words2.

num2words, which it was made from, needs a package that has no wheel; cn2an knows Chinese alone and brings modules
called ``build`` and ``src``. A number has one spelling here (``one hundred and ten``), speakers have several.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import partial

from utils.data.languages import is_spaceless

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_WHOLE_WORD = re.compile(rf"(?<!\w){_NUMBER.pattern}(?!\w)")  # not GPT4, not 3rd
_THOUSANDS = re.compile(r"[1-9]\d{0,2}(?:[.,]\d{3})+")
_DECIMAL = re.compile(r"(?:0|[1-9]\d*)[.,]\d+")
_CHINESE_YEAR = re.compile(r"\d{4}(?=年)")
_LONGEST = 12  # digits that are read as one number; card numbers are read digit by digit


def digit_speller(language: str) -> Callable[[str], str]:
    """A function that spells the numbers of a text: ``21`` → ``twenty-one``, ``007`` → ``zero zero seven``.

    ``1,234`` and ``1.234`` are taken for thousands, ``3,5`` and ``3.5`` for decimals.

    Args:
        language: Whisper code of the text; num2words2 knows them all, yue as zh.
    """
    from num2words2 import num2words

    code = "zh" if language == "yue" else language
    spell = partial(num2words, lang=code)
    joint, pattern = ("", _NUMBER) if is_spaceless(language) else (" ", _WHOLE_WORD)

    def one_by_one(digits: str) -> str:
        return joint.join(spell(int(digit)) for digit in digits)

    def spelled(number: str) -> str:
        if _THOUSANDS.fullmatch(number):
            number = re.sub("[.,]", "", number)
        if _DECIMAL.fullmatch(number) and len(number) <= _LONGEST:
            return spell(float(number.replace(",", ".")))
        parts = re.findall(r"\d+", number)
        return " ".join(one_by_one(part) if len(part) > _LONGEST or (part[0] == "0" and len(part) > 1)
                        else spell(int(part)) for part in parts)

    def speller(text: str) -> str:
        text = unicodedata.normalize("NFKC", text)
        if code == "zh":
            text = _CHINESE_YEAR.sub(lambda match: one_by_one(match.group()), text)
        return pattern.sub(lambda match: spelled(match.group()), text)

    return speller
