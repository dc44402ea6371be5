"""Hypotheses that do not end: told by characters of text, because scripts differ in the tokens that they take.

English has four characters a token; Burmese, Georgian or Gujarati have two to three tokens a character, most of them
the same few bytes again and again. See :func:`~utils.data.languages.tokens_per_character`.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterator

import numpy as np
import torch

from utils.audio.constants import FRAMES_PER_SECOND
from utils.data.languages import tokens_per_character
from utils.data.lists import parse_key
from utils.data.prompts import MAX_TARGET_TOKENS, PROMPT_TOKENS

_LOOP = 40  # characters, or tokens where these are longer
_LONGEST_PHRASE = {1: 16, 3: 96}  # tokens, by the tokens that count as a character: about as much text
_REPEATS = 2.5  # of the longest phrases, after the first time
_SHORTEST_NGRAM = 3  # tokens
_MOST_TOKENS = 3  # of a character: as many as UTF-8 has bytes for any letter


def tokens_a_character(key: str) -> int:
    """Tokens that a character of a key's text may take; 1 where tokens are longer. Translations are English."""
    parsed = parse_key(key)
    return 1 if parsed.task == "translate" else tokens_per_character(parsed.language)


def token_limit(num_frames: int, per_character: int = 1, room: int = MAX_TARGET_TOKENS - PROMPT_TOKENS) -> int:
    """Tokens after which a hypothesis for ``num_frames`` frames (10 ms) cannot be right any more.

    They stand for 20 characters and 30 a second, more than anyone says. Text in tokens of less than a character may
    fill the decoder and still be right, though its end is missing: its limit may be more than the ``room`` there.

    Args:
        per_character: see :func:`tokens_a_character`.
        room: tokens that the decoder has places for.
    """
    limit = (20 + num_frames * 30 // FRAMES_PER_SECOND) * per_character
    return min(limit, room) if per_character == 1 else limit


def _periods(num_tokens: int, per_character: int) -> Iterator[tuple[int, int]]:
    """Lengths of phrases, and for how many tokens such a phrase must go on after its first time to be a loop."""
    for period in range(1, _LONGEST_PHRASE[per_character] + 1):
        stretch = max(_LOOP * per_character, math.ceil(_REPEATS * period))
        if period + stretch <= num_tokens:
            yield period, stretch


def looping(tokens: torch.Tensor, per_character: int = 1) -> torch.Tensor:
    """Which hypotheses have come to repeat themselves: their last 40 characters or more are a phrase, over and over.

    Args:
        tokens: (hypotheses, length).
        per_character: tokens that count as a character, 1 or 3.

    Returns:
        (hypotheses,) bool.
    """
    found = torch.zeros(len(tokens), dtype=torch.bool, device=tokens.device)
    for period, stretch in _periods(tokens.shape[1], per_character):
        found |= (tokens[:, -stretch:] == tokens[:, -stretch - period:-period]).all(dim=1)
    return found


def has_loop(tokens: list[int], per_character: int = 1) -> bool:
    """Whether a hypothesis repeats itself anywhere, as :func:`looping` says of its end.

    A search that is stopped at a loop and one that goes on thus get the same verdict.
    """
    row = np.array(tokens)
    for period, stretch in _periods(len(row), per_character):
        same = row[period:] == row[:-period]
        if np.lib.stride_tricks.sliding_window_view(same, stretch).all(axis=1).any():
            return True
    return False


def is_endless(tokens: list[int], limit: int, per_character: int = 1) -> bool:
    """Whether a hypothesis loops, or is longer than anything that can be said in its time."""
    return len(tokens) >= limit or has_loop(tokens, per_character)


def ngram_size(num_tokens: int, text: str, characters: int) -> int:
    """How many tokens make about so many characters, in a script of which ``num_tokens`` tokens make ``text``.

    A Chinese character, kana or Hangul syllable counts as two: it says as much as two letters or more.
    """
    width = sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)
    share = min(num_tokens / max(width, 1), _MOST_TOKENS)
    return max(_SHORTEST_NGRAM, math.ceil(characters * share))
