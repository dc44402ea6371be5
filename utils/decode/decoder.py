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
from utils.features.pauses import pieces_at_pauses

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

    def is_endless(self, tokens: Tokens) -> bool:
        return is_endless(tokens, self.limit, self.per_character)


@dataclass(frozen=True)
class _Place:
    """Where the hypothesis of a target is: the row of its utterance, and its column there."""

    row: int
    column: int
    target: _Target


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
        self._redecode_in_pieces(tokens, feats, utterances, beam_size)
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

    def _redecode_in_pieces(self, tokens: list[list[Tokens]], feats: Sequence[np.ndarray],
                            utterances: Sequence[Utterance], beam_size: int) -> None:
        """Decode hypotheses again that do not end, in place: cut at the utterance's pauses, each piece by itself.

        So what is really said again and again is written as often. A piece that does not end, or an utterance without
        pauses, is decoded without repeating a phrase.
        """
        whole: list[_Place] = []
        for row, (utterance, found) in enumerate(zip(utterances, tokens, strict=True)):
            places = [_Place(row, place, self._target(key, utterance.num_frames))
                      for place, key in enumerate(utterance.keys)]
            endless = [one for one in places if one.target.is_endless(found[one.column])]
            pieces = [feats[row][start:end] for start, end in pieces_at_pauses(feats[row])] if endless else []
            if len(pieces) < 2:
                whole += endless
                continue
            for one in endless:
                key = utterance.keys[one.column]
                found[one.column] = self._decode_pieces(key, pieces, beam_size)
        self._redecode_banning(tokens, feats, whole, beam_size)

    def _decode_pieces(self, key: str, pieces: Sequence[np.ndarray], beam_size: int) -> Tokens:
        """Tokens of pieces of an utterance, one after the other."""
        targets = [self._target(key, len(piece)) for piece in pieces]
        tokens = self._decode_at_full_window(pieces, targets, beam_size)
        found = [[one] for one in tokens]
        endless = [_Place(number, 0, target) for number, target in enumerate(targets)
                   if target.is_endless(tokens[number])]
        self._redecode_banning(found, pieces, endless, beam_size)
        return [token for (one,) in found for token in one]

    def _redecode_banning(self, tokens: list[list[Tokens]], feats: Sequence[np.ndarray], places: list[_Place],
                          beam_size: int) -> None:
        """Decode hypotheses again that do not end, in place: without repeating a phrase of so many characters.

        (Whisper itself tries rising temperatures, arXiv:2212.04356, section 4.5; this method gives the same result
        every time.)
        """
        for characters in _RETRIES:
            endless: dict[int, list[_Place]] = {}  # by the n-gram that is forbidden
            for one in places:
                sample = tokens[one.row][one.column]
                if one.target.is_endless(sample):
                    sample = sample[:_SAMPLE]
                    ngram = ngram_size(len(sample), self.tokenizer.decode(sample, skip_special_tokens=True), characters)
                    endless.setdefault(ngram, []).append(one)
            for ngram, some in sorted(endless.items()):
                again = self._decode_at_full_window([feats[one.row] for one in some], [one.target for one in some],
                                                    beam_size, ngram)
                for one, other in zip(some, again, strict=True):
                    tokens[one.row][one.column] = other[:one.target.limit]

    def _decode_at_full_window(self, feats: Sequence[np.ndarray], targets: Sequence[_Target], beam_size: int,
                               no_repeat_ngram: int = 0) -> list[Tokens]:
        """Tokens of one target for each matrix, at the window of 30 s that Whisper was trained with.

        It is the same for every system, whatever its own window.
        """
        found: list[Tokens] = []
        for first in range(0, len(feats), _FULL_WINDOWS_AT_ONCE):
            some = slice(first, first + _FULL_WINDOWS_AT_ONCE)
            encoded = self.encode(stack_feats(feats[some], FULL_WINDOW).numpy())
            search = self._search(targets[some], beam_size, no_repeat_ngram)
            rows = self.generate(encoded, [[target.prompt] for target in targets[some]], search)
            found += [tokens for (tokens,) in rows]
        return found
