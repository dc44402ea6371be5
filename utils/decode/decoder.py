"""Decoding: one encoder pass serves all targets of an utterance; a batch may mix tasks and languages."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from transformers import WhisperTokenizer

from utils.audio.constants import FULL_WINDOW
from utils.data.prompts import MAX_TARGET_TOKENS, PROMPT_TOKENS, prompt_ids
from utils.decode.loops import is_endless, ngram_size, token_limit, tokens_a_character
from utils.features.feature_set import Utterance, stack_feats

_FULL_WINDOWS_AT_ONCE = 8  # of what is decoded again
_RETRIES = (40, 25)  # characters of a phrase that must not come twice
_SAMPLE = 40  # tokens that show how long those of a hypothesis are; a loop is stopped after more than these


@dataclass(frozen=True)
class Search:
    """The settings of a search for hypotheses."""

    beam_size: int  # 1 is greedy search
    max_tokens: int  # after the prompt
    no_repeat_ngram: int = 0  # forbid repeating an n-gram of so many tokens; 0 allows all
    per_character: tuple[int, ...] = ()  # of each target in turn, tokens that count as a character; empty: 1


Tokens = list[int]


@dataclass(frozen=True)
class _Target:
    """A key of an utterance: its prompt, and how long its text can be."""

    prompt: Tokens
    limit: int  # tokens
    per_character: int  # tokens


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
                 encoded: Any = None, beam_size: int | None = None) -> dict[str, str]:
        """Decode a batch.

        Args:
            utterances: all have equally many keys.
            feats: features of each utterance, of shape (frames, num_mels).
            num_frames: the number of frames (10 ms) that all are padded to.
            encoded: what :meth:`encode` returned for them, if they are encoded already.
            beam_size: of this search; None: the decoder's.

        Returns:
            The hypothesis of every key of every utterance.
        """
        targets = [[self._target(key, utterance.num_frames) for key in utterance.keys] for utterance in utterances]
        if encoded is None:
            encoded = self.encode(stack_feats(feats, num_frames).numpy())
        beam_size = beam_size or self.beam_size
        search = self._search([target for row in targets for target in row], beam_size)
        tokens = self.generate(encoded, [[target.prompt for target in row] for row in targets], search)
        for characters in _RETRIES:
            self._redecode_endless(tokens, feats, targets, characters, beam_size)
        return {key: text.strip() for utterance, found in zip(utterances, tokens, strict=True)
                for key, text in zip(utterance.keys, self.tokenizer.batch_decode(found, skip_special_tokens=True),
                                     strict=True)}

    @property
    def _room(self) -> int:
        """Tokens that the decoder has places for after a prompt."""
        return MAX_TARGET_TOKENS - PROMPT_TOKENS - len(self.before_prompt)

    def _target(self, key: str, num_frames: int) -> _Target:
        per_character = tokens_a_character(key)
        return _Target(self.before_prompt + prompt_ids(self.tokenizer, key),
                       token_limit(num_frames, per_character, self._room), per_character)

    def _search(self, targets: Sequence[_Target], beam_size: int, no_repeat_ngram: int = 0) -> Search:
        """One that has room for each of ``targets``."""
        longest = min(self._room, max((target.limit for target in targets), default=0))
        return Search(beam_size, longest, no_repeat_ngram, tuple(target.per_character for target in targets))

    def _redecode_endless(self, tokens: list[list[Tokens]], feats: Sequence[np.ndarray],
                          targets: list[list[_Target]], characters: int, beam_size: int) -> None:
        """Decode hypotheses again that do not end, in place: without repeating a phrase of so many characters.

        It is done at the window of 30 s that Whisper was trained with, for every system alike, whatever its own
        window. (Whisper itself tries rising temperatures, arXiv:2212.04356, section 4.5; this method gives the same
        result every time.)
        """
        endless: dict[int, list[tuple[int, int]]] = {}  # by the n-gram that is forbidden: row, place in the row
        for row, (found, of_row) in enumerate(zip(tokens, targets, strict=True)):
            for place, (hypothesis, target) in enumerate(zip(found, of_row, strict=True)):
                if is_endless(hypothesis, target.limit, target.per_character):
                    sample = hypothesis[:_SAMPLE]
                    ngram = ngram_size(len(sample), self.tokenizer.decode(sample, skip_special_tokens=True), characters)
                    endless.setdefault(ngram, []).append((row, place))
        for ngram, places in sorted(endless.items()):
            for first in range(0, len(places), _FULL_WINDOWS_AT_ONCE):
                some = places[first:first + _FULL_WINDOWS_AT_ONCE]
                again = [targets[row][place] for row, place in some]
                encoded = self.encode(stack_feats([feats[row] for row, _ in some], FULL_WINDOW).numpy())
                search = self._search(again, beam_size, ngram)
                others = self.generate(encoded, [[target.prompt] for target in again], search)
                for (row, place), target, (other,) in zip(some, again, others, strict=True):
                    tokens[row][place] = other[:target.limit]
