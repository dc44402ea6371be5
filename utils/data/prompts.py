"""Whisper's decoder prompt for a key, and text as Whisper writes it in tokens."""

from __future__ import annotations

from transformers import WhisperTokenizer

from utils.data.languages import is_spaceless
from utils.data.lists import UtteranceKey, parse_key
from utils.data.tokenizer import token_id
from utils.errors import UserError

MAX_TARGET_TOKENS = 448
PROMPT_TOKENS = 4
MAX_TEXT_TOKENS = MAX_TARGET_TOKENS - PROMPT_TOKENS - 1  # the end token
MAX_HOTWORD_TOKENS = MAX_TARGET_TOKENS // 2 - 1  # as much as Whisper was trained to look back


def prompt_ids(tokenizer: WhisperTokenizer, key: str) -> list[int]:
    """``<|startoftranscript|><|lang|><|task|><|notimestamps|>`` for a key ``id|language|task``.

    Raises:
        UserError: this model has no token for the language (Cantonese came with large-v3).
    """
    parsed = parse_key(key)
    tokens = ["<|startoftranscript|>", f"<|{parsed.language}|>", f"<|{parsed.task}|>", "<|notimestamps|>"]
    ids: list[int] = []
    for token in tokens:
        if (number := token_id(tokenizer, token)) is None:
            raise UserError(f"{key}: this Whisper model has no token {token}")
        ids.append(number)
    return ids


def hotword_ids(tokenizer: WhisperTokenizer, hotwords: str) -> list[int]:
    """What makes words likelier that may be said: ``<|startofprev|>`` and the words, as if they had just been said.

    It stands before a prompt, as in faster-whisper's ``hotwords``. Nothing for no hotwords.

    Raises:
        UserError: the model has no such token, or the words leave too little room for what is said.
    """
    if not hotwords.strip():
        return []
    start = token_id(tokenizer, "<|startofprev|>")
    words = tokenizer(f" {hotwords.strip()}", add_special_tokens=False).input_ids
    if start is None:
        raise UserError("hotwords: this Whisper model has no token <|startofprev|>; do without them")
    if len(words) > MAX_HOTWORD_TOKENS:
        raise UserError(f"hotwords: {len(words)} tokens, there is room for {MAX_HOTWORD_TOKENS}; name fewer")
    return [start, *words]


def text_ids(tokenizer: WhisperTokenizer, key: str, text: str) -> list[int]:
    """Tokens of ``text`` as Whisper itself would write it: with a leading space where the language has spaces."""
    return tokenizer(leading_space(parse_key(key)) + text.strip(), add_special_tokens=False).input_ids


def leading_space(key: UtteranceKey) -> str:
    """What stands before the first word: a space, but nothing in languages written without spaces."""
    return "" if key.task == "transcribe" and is_spaceless(key.language) else " "
