"""Whisper's decoder prompt for a key, and the tokens of a text."""

from __future__ import annotations

from collections.abc import Sequence

from transformers import WhisperTokenizer

from utils.audio.constants import NUM_TIMESTAMPS, TIMESTAMP_SECONDS
from utils.data.languages import is_spaceless
from utils.data.lists import UtteranceKey, parse_key
from utils.data.tokenizer import token_id
from utils.errors import UserError

MAX_TARGET_TOKENS = 448
PROMPT_TOKENS = 4
MAX_TEXT_TOKENS = MAX_TARGET_TOKENS - PROMPT_TOKENS - 1  # 1 for the end token
MAX_HOTWORD_TOKENS = MAX_TARGET_TOKENS // 2 - 1  # the longest previous text in Whisper's training


def prompt_ids(tokenizer: WhisperTokenizer, key: str, timed: bool = False) -> list[int]:
    """Return the ids of ``<|startoftranscript|><|lang|><|task|><|notimestamps|>`` for a key ``id|language|task``.

    Args:
        timed: the text has times, so ``<|notimestamps|>`` is left out.

    Raises:
        UserError: this model has no token for the language (Cantonese came with large-v3).
    """
    parsed = parse_key(key)
    tokens = ["<|startoftranscript|>", f"<|{parsed.language}|>", f"<|{parsed.task}|>"]
    if not timed:
        tokens.append("<|notimestamps|>")
    ids: list[int] = []
    for token in tokens:
        if (number := token_id(tokenizer, token)) is None:
            raise UserError(f"{key}: this Whisper model has no token {token}")
        ids.append(number)
    return ids


def timestamp_id(tokenizer: WhisperTokenizer, seconds: float) -> int:
    """Return the id of the token for a time in a window: ``<|0.00|>``, ``<|0.02|>`` … ``<|30.00|>``.

    Raises:
        UserError: the model has no such token.
    """
    step = min(round(seconds / TIMESTAMP_SECONDS), NUM_TIMESTAMPS - 1)
    token = f"<|{step * TIMESTAMP_SECONDS:.2f}|>"
    if (number := token_id(tokenizer, token)) is None:
        raise UserError(f"this Whisper model has no token {token}")
    return number


def earlier_text_ids(tokenizer: WhisperTokenizer, tokens: Sequence[int], room: int) -> list[int]:
    """Return ``<|startofprev|>`` and the last of ``tokens``, for before the prompt; empty if there are none.

    Args:
        tokens: of the text of earlier windows, or of a list of words.
        room: for how many tokens there is room; Whisper takes 223 and ``<|startofprev|>`` at most.
    """
    start = token_id(tokenizer, "<|startofprev|>")
    count = min(MAX_HOTWORD_TOKENS, room - 1)
    return [start, *tokens[-count:]] if tokens and count > 0 and start is not None else []


def hotword_ids(tokenizer: WhisperTokenizer, hotwords: str) -> list[int]:
    """Return the ids of ``<|startofprev|>`` and the hotwords, which make these words likelier; empty for no hotwords.

    They come before the prompt, like the text of a previous window, as faster-whisper's ``hotwords`` do.

    Raises:
        UserError: the model has no ``<|startofprev|>``, or the words have more than ``MAX_HOTWORD_TOKENS`` tokens.
    """
    if not hotwords.strip():
        return []
    start = token_id(tokenizer, "<|startofprev|>")
    words = word_ids(tokenizer, hotwords)
    if start is None:
        raise UserError("hotwords: this Whisper model has no token <|startofprev|>; do without them")
    if len(words) > MAX_HOTWORD_TOKENS:
        raise UserError(f"hotwords: {len(words)} tokens, there is room for {MAX_HOTWORD_TOKENS}; name fewer")
    return [start, *words]


def word_ids(tokenizer: WhisperTokenizer, words: str) -> list[int]:
    """Return the ids of a list of words, after a space in every language, as faster-whisper writes ``hotwords``."""
    return tokenizer(f" {words.strip()}", add_special_tokens=False).input_ids if words.strip() else []


def text_ids(tokenizer: WhisperTokenizer, key: str, text: str) -> list[int]:
    """Return the token ids of ``text`` as Whisper writes it: with a leading space if the language has spaces."""
    return tokenizer(leading_space(parse_key(key)) + text.strip(), add_special_tokens=False).input_ids


def leading_space(key: UtteranceKey) -> str:
    """Return what Whisper writes before the first word: a space, or nothing in a language written without spaces."""
    return "" if key.task == "transcribe" and is_spaceless(key.language) else " "
