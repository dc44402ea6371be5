"""Decoder sequences of training: text with or without times, earlier text before it, or nothing where nobody speaks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from transformers import WhisperTokenizer

from utils.config import WindowOptions
from utils.data.prompts import MAX_TARGET_TOKENS, earlier_text_ids, prompt_ids, text_ids, timestamp_id, word_ids
from utils.data.silent_references import NO_SPEECH
from utils.data.tokenizer import token_id
from utils.errors import UserError
from utils.features.feature_set import Utterance
from utils.model.modeling import IGNORED
from utils.train.windows import Window, times_of
from utils.train.word_lists import WordLists

Target = tuple[list[int], list[int]]
"""The input tokens of a decoder sequence, and the label of each: the token after it, or ``IGNORED``."""

_TIME_TOKENS = 2  # start and end of an utterance


class TargetWriter:
    """Writes the targets of windows.

    Args:
        texts: references by key, for every key of ``utterances``.
        text_path: file of ``texts``, for messages.
    """

    def __init__(self, utterances: Sequence[Utterance], texts: Mapping[str, str], tokenizer: WhisperTokenizer,
                 options: WindowOptions, text_path: str | Path) -> None:
        self.utterances = utterances
        self.options = options
        self._texts = texts
        self._tokenizer = tokenizer
        self._text_path = text_path
        self._frames = [utterance.num_frames for utterance in utterances]

    @cached_property
    def _words(self) -> WordLists:
        return WordLists(self._texts)  # reads all texts: only where lists are drawn

    def longest_targets(self) -> list[int]:
        """The number of tokens of each utterance's longest target, with times."""
        return [_TIME_TOKENS + max(len(self._text_ids(key)) for key in utterance.keys)
                for utterance in self.utterances]

    def num_tokens(self, key: str) -> int:
        """The number of tokens of a key's text."""
        return len(self._text_ids(key))

    def targets(self, window: Window, earlier: Window | None, rng: np.random.Generator) -> list[Target]:
        """One target for each task of a window.

        Args:
            earlier: the window before it, whose text may be given.
            rng: decides what is drawn.

        Raises:
            UserError: an utterance's text is longer than Whisper's 448 tokens allow.
        """
        if not window.members:
            keys = self.utterances[int(rng.integers(len(self.utterances)))].keys
            return self._of_silence([keys[int(rng.integers(len(keys)))]], timed=bool(rng.random() < 0.5))
        options = self.options
        timed = bool(rng.random() < options.timed_share) if window.timed is None else window.timed
        has_earlier = rng.random() < options.earlier_text_share
        has_words = rng.random() < options.word_list_share
        found, own_keys = list[Target](), self.utterances[window.members[0]].keys
        if silent := [key for key in own_keys if self._texts[key] == NO_SPEECH]:  # such a window is not joined
            found += self._of_silence(silent, timed)
        for key in (key for key in own_keys if key not in silent):
            keys = self._keys_like(key, window)
            text = self._tokens(keys, window, timed)
            prompt = prompt_ids(self._tokenizer, key, timed)
            room = MAX_TARGET_TOKENS - len(prompt) - 1 - len(text)
            if room < 0:
                raise UserError(f"{self._text_path}: {key}: the text has {len(text)} tokens, Whisper has room for "
                                f"{room + len(text)}. Cut the utterance into shorter ones")
            before: list[int] = []
            if has_words:
                before = word_ids(self._tokenizer, self._words.draw(keys, rng))
            elif has_earlier and earlier is not None:
                before = self._tokens(self._keys_like(key, earlier), earlier, timed and rng.random() < 0.5)
            found.append(self._target(earlier_text_ids(self._tokenizer, before, room) + prompt, text))
        if options.no_speech_share and rng.random() < options.no_speech_share:
            found.append(self._language(self.utterances[window.members[0]].keys[0]))
        return found

    def _target(self, prompt: list[int], text: list[int]) -> Target:
        """The prompt is given in decoding, so the loss counts what comes after it."""
        end = self._tokenizer.eos_token_id
        return prompt + text, [IGNORED] * (len(prompt) - 1) + text + [end]

    def _of_silence(self, keys: Sequence[str], timed: bool) -> list[Target]:
        """``<|nospeech|>`` at once; and nothing after the prompt of each key, but a time where times are asked."""
        prompts = [prompt_ids(self._tokenizer, key, timed) for key in keys]
        text = [timestamp_id(self._tokenizer, 0.0)] if timed else []
        no_speech = token_id(self._tokenizer, "<|nospeech|>")
        if no_speech is None:  # large-v3 and others call it so
            no_speech = token_id(self._tokenizer, "<|nocaptions|>")
        found = [self._target(prompt, text) for prompt in prompts]
        return found if no_speech is None else [*found, self._target(prompts[0][:1], [no_speech])]

    def _language(self, key: str) -> Target:
        """The language as the first token: what stands there where somebody speaks."""
        start, language = prompt_ids(self._tokenizer, key)[:2]
        return [start], [language]

    def _keys_like(self, key: str, window: Window) -> list[str]:
        """The keys of a window's utterances with the language and task of ``key``."""
        kind = key.split("|", 1)[1]
        return [next(own for own in self.utterances[member].keys if own.split("|", 1)[1] == kind)
                for member in window.members]

    def _text_ids(self, key: str) -> list[int]:
        return text_ids(self._tokenizer, key, self._texts[key])

    def _tokens(self, keys: Sequence[str], window: Window, timed: bool) -> list[int]:
        """The text of a window, without an utterance that its end cuts; with times, these come first."""
        if timed:
            return self._timed(keys, window)
        return [token for key in keys[:len(keys) - window.is_cut] for token in self._text_ids(key)]

    def _timed(self, keys: Sequence[str], window: Window) -> list[int]:
        """``<|0.00|> text <|2.40|><|2.80|> text …``; of an utterance that the window's end cuts, only the start."""
        tokens: list[int] = []
        for number, (key, (start, end)) in enumerate(zip(keys, times_of(window, self._frames), strict=True), 1):
            tokens.append(timestamp_id(self._tokenizer, start))
            if not (window.is_cut and number == len(keys)):
                tokens += [*self._text_ids(key), timestamp_id(self._tokenizer, end)]
        return tokens
