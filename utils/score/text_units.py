"""What error rates count: words, characters, both in mixed text, or the pieces of a small vocabulary."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from utils.errors import UserError
from utils.score.text_rules import SPOKEN_SIGNS

Splitter = Callable[[str], list[str]]

# Han with its extensions, kana, Thai, Lao, Tibetan, Burmese, Khmer: scripts written without spaces.
_SPACELESS_SCRIPT = ("\u3005-\u3007\u3041-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f"
                     "\U00020000-\U0003ffff\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff")
_MIXED = re.compile(f"[{_SPACELESS_SCRIPT}]|[^\\s{_SPACELESS_SCRIPT}]+")
_MIXED_AND_SPACE = re.compile(f"(?:{_MIXED.pattern})\\s*")
_SPACELESS = re.compile(f"[{_SPACELESS_SCRIPT}]")
_LATIN_WORD = re.compile("[A-Za-zÀ-ɏ]{2,}")


def split_words(text: str) -> list[str]:
    """Words, for WER: what white space separates and a letter or a digit is in; ``...`` is no word."""
    return [token for token in text.split() if any(char.isalnum() or char in SPOKEN_SIGNS for char in token)]


def split_characters(text: str) -> list[str]:
    """Characters other than white space, for CER."""
    return list("".join(text.split()))


def split_mixed(text: str) -> list[str]:
    """For MER (mixed error rate), ``打开 wifi吧`` → 打, 开, wifi, 吧: a character of a script written without
    spaces is a unit, and so is a word of any other, as in the SEAME and ASCEND corpora's scoring."""
    return _MIXED.findall(text)


def split_keeping_space(text: str) -> list[str]:
    """The units of :func:`split_mixed`, each with the space after it."""
    return _MIXED_AND_SPACE.findall(text)


def is_mixed(text: str) -> bool:
    """Whether a text has characters of a script written without spaces, and words in Latin letters, too."""
    return bool(_LATIN_WORD.search(text) and _SPACELESS.search(text))


def piece_splitter(bpe_model: str | Path) -> Splitter:
    """A splitter into the pieces of a sentencepiece model, for TER (token error rate) as ESPnet reports it.

    Raises:
        UserError: the file is missing or no sentencepiece model.
    """
    import sentencepiece

    try:
        processor = sentencepiece.SentencePieceProcessor(model_file=str(bpe_model))
    except (OSError, RuntimeError):
        raise UserError(f"{bpe_model}: no sentencepiece model. Make it again: pyscripts/train_bpe.py") from None
    return lambda text: processor.encode(text, out_type=str)


SPLITTERS: dict[str, Splitter] = {"wer": split_words, "cer": split_characters, "mer": split_mixed}
"""Splitters of the metrics that need nothing but the text."""
