"""Decoding: one encoder pass serves all targets of an utterance; a batch may mix tasks and languages."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import (
    WhisperTokenizer,
)

from utils.audio.constants import FRAMES_PER_SECOND, FULL_WINDOW
from utils.data.prompts import MAX_TARGET_TOKENS, PROMPT_TOKENS, prompt_ids
from utils.features.feature_set import Utterance, stack_feats

_FULL_WINDOWS_AT_ONCE = 8  # of utterances that are decoded again
_LOOP_TOKENS, _LONGEST_PHRASE = 40, 16


@dataclass(frozen=True)
class Search:
    """The settings of a search for hypotheses."""

    beam_size: int  # 1 is greedy search
    max_tokens: int  # after the prompt
    no_repeat_ngram: int = 0  # forbid repeating an n-gram of so many tokens; 0 allows all


Tokens = list[int]


def token_limit(num_frames: int) -> int:
    """The most tokens that a hypothesis for ``num_frames`` frames (10 ms) may have: 20, and 30 a second.

    Speech in the default corpus has at most 12 tokens a second, short utterances aside. Scripts that Whisper's
    tokenizer spells byte by byte, such as Burmese, have more than twice as many. More than 30 a second is a loop.
    """
    return min(MAX_TARGET_TOKENS - PROMPT_TOKENS, 20 + num_frames * 30 // FRAMES_PER_SECOND)


def looping(tokens: torch.Tensor) -> torch.Tensor:
    """Whether each hypothesis ends in a loop: its last 40 tokens repeat a phrase of up to 16 tokens.

    Args:
        tokens: token ids of shape (hypotheses, length).

    Returns:
        Booleans of shape (hypotheses,).
    """
    found = torch.zeros(len(tokens), dtype=torch.bool, device=tokens.device)
    for period in range(1, min(_LONGEST_PHRASE, tokens.shape[1] - _LOOP_TOKENS) + 1):
        found |= (tokens[:, -_LOOP_TOKENS:] == tokens[:, -_LOOP_TOKENS - period:-period]).all(dim=1)
    return found


def _is_endless(tokens: Tokens, limit: int) -> bool:
    return len(tokens) >= limit or bool(looping(torch.tensor([tokens]))[0])


class Decoder(ABC):
    """Decodes a batch: each utterance is encoded once, whatever the number of its targets.

    Args:
        before_prompt: tokens that stand before every prompt; see :func:`~utils.data.prompts.hotword_ids`.
    """

    workers = 1  # how many batches it can decode at once
    max_frames = 24_000  # of a batch; larger ones gain nothing

    def __init__(self, tokenizer: WhisperTokenizer, beam_size: int, before_prompt: Tokens | None = None) -> None:
        self.tokenizer = tokenizer
        self.beam_size = beam_size
        self.before_prompt = before_prompt or []

    @abstractmethod
    def encode(self, features: np.ndarray) -> Any:
        """Encoder outputs of (batch, num_mels, frames) features, in the form that :meth:`generate` takes."""

    @abstractmethod
    def generate(self, encoded: Any, prompts: list[list[Tokens]], search: Search) -> list[list[Tokens]]:
        """Tokens of every target, without the prompt and the end token.

        Args:
            encoded: what :meth:`encode` returned.
            prompts: for each utterance, the prompts of its targets; all utterances have equally many.
        """

    def __call__(self, utterances: Sequence[Utterance], feats: Sequence[np.ndarray], num_frames: int,
                 encoded: Any = None) -> dict[str, str]:
        """Decode a batch.

        Args:
            utterances: all have equally many keys.
            feats: features of each utterance, of shape (frames, num_mels).
            num_frames: the number of frames (10 ms) that all are padded to.
            encoded: what :meth:`encode` returned for them, if they are encoded already.

        Returns:
            The hypothesis of every key of every utterance.
        """
        room = MAX_TARGET_TOKENS - PROMPT_TOKENS - len(self.before_prompt)
        limits = [min(room, token_limit(utterance.num_frames)) for utterance in utterances]
        prompts = [[self.before_prompt + prompt_ids(self.tokenizer, key) for key in utterance.keys]
                   for utterance in utterances]
        if encoded is None:
            encoded = self.encode(stack_feats(feats, num_frames).numpy())
        tokens = self.generate(encoded, prompts, Search(self.beam_size, max(limits)))
        self._redecode_endless(tokens, feats, prompts, limits, tried_full_window=num_frames >= FULL_WINDOW)
        return {key: text.strip() for utterance, found in zip(utterances, tokens, strict=True)
                for key, text in zip(utterance.keys, self.tokenizer.batch_decode(found, skip_special_tokens=True),
                                     strict=True)}

    def _redecode_endless(self, tokens: list[list[Tokens]], feats: Sequence[np.ndarray], prompts: list[list[Tokens]],
                          limits: list[int], tried_full_window: bool) -> None:
        """Decode hypotheses again that loop or reach the token limit; ``tokens`` is changed in place.

        The first attempt pads to 30 s, the window that Whisper was trained with. Hypotheses that loop there, too, are
        decoded once more with repeated trigrams forbidden. (Whisper itself tries rising temperatures,
        arXiv:2212.04356, section 4.5; this method gives the same result every time.)
        """
        for no_repeat_ngram in (3,) if tried_full_window else (0, 3):
            endless = [row for row, limit in enumerate(limits)
                       if any(_is_endless(found, limit) for found in tokens[row])]
            for first in range(0, len(endless), _FULL_WINDOWS_AT_ONCE):
                rows = endless[first:first + _FULL_WINDOWS_AT_ONCE]
                encoded = self.encode(stack_feats([feats[row] for row in rows], FULL_WINDOW).numpy())
                search = Search(self.beam_size, max(limits[row] for row in rows), no_repeat_ngram)
                others = self.generate(encoded, [prompts[row] for row in rows], search)
                for row, again in zip(rows, others, strict=True):
                    tokens[row] = [other[:limits[row]] if _is_endless(found, limits[row]) else found
                                   for found, other in zip(tokens[row], again, strict=True)]
