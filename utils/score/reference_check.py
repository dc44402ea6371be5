"""Whether reference translations are what BLEU is counted for here: English."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import regex

from utils.errors import UserError
from utils.score.metrics import TextPair

_MIN_SHARE = 0.5  # of a set's letters; names in their own script are no error
_LETTER = regex.compile(r"\p{L}")
_LATIN = regex.compile(r"\p{Latin}")


def check_translations(utterances: Iterable[TextPair]) -> None:
    """Refuse reference translations that are not in Latin letters.

    Whisper's task ``translate`` means English, and BLEU's tokenizer (sacrebleu's 13a) parts words at spaces and at
    punctuation of Latin text: a Chinese or Thai sentence would be one word.

    Raises:
        UserError: more than half the letters of a language's reference translations are of other scripts.
    """
    letters: Counter[str] = Counter()
    latin: Counter[str] = Counter()
    for utt in utterances:
        if utt.task == "translate":
            letters[utt.language] += len(_LETTER.findall(utt.reference))
            latin[utt.language] += len(_LATIN.findall(utt.reference))
    for language, count in sorted(letters.items()):
        if latin[language] < _MIN_SHARE * count:
            raise UserError(f"the reference translations of {language} are not English: "
                            f"{100 - 100 * latin[language] / count:.0f} % of their letters are not Latin. BLEU is "
                            "counted for English only; put English text after each id|LANGUAGE|translate")
