"""Decoding: all targets of an utterance from one encoder pass, tasks and languages mixed in a batch."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import GenerationConfig, GenerationMixin, WhisperTokenizerFast
from transformers.modeling_outputs import BaseModelOutput

from utils.batching import pack
from utils.cli import progress_bar
from utils.modeling import MultitaskWhisper
from utils.multitask_data import Utterance, stack_feats
from utils.prompts import MAX_TARGET_TOKENS, PROMPT_TOKENS, prompt_ids

FULL_WINDOW = 3000  # frames: the 30 s that Whisper was trained on


@dataclass(frozen=True)
class Batch:
    """Utterances that are encoded together, and the frames they are padded to."""

    utterances: list[Utterance]
    num_frames: int


@dataclass(frozen=True)
class Search:
    """How hypotheses are searched for."""

    beam_size: int  # 1 is greedy search
    max_tokens: int  # after the prompt
    no_repeat_ngram: int = 0  # forbid repeating an n-gram of so many tokens; 0 allows all


# A hypothesis that does not end even at Whisper's native window is searched for like this. Whisper itself tries rising
# temperatures (arXiv:2212.04356, section 4.5); this gives the same result every time.
_LAST_RESORT = {"beam_size": 5, "no_repeat_ngram": 3}

Tokens = list[int]


def token_limit(num_frames: int) -> int:
    """Tokens after which a hypothesis for ``num_frames`` frames (10 ms) cannot be right any more.

    Speech in the default corpus has at most 12 a second, short utterances aside; scripts that Whisper's tokenizer
    spells byte by byte, as Burmese, have more than twice as many. What exceeds 30 is a loop.
    """
    return min(MAX_TARGET_TOKENS - PROMPT_TOKENS, 20 + num_frames * 30 // 100)


class Decoder(ABC):
    """Decodes a batch: each utterance is encoded once, whatever the number of its targets."""

    workers = 1  # how many batches it can decode at once

    def __init__(self, tokenizer: WhisperTokenizerFast, beam_size: int) -> None:
        self.tokenizer = tokenizer
        self.beam_size = beam_size

    @abstractmethod
    def encode(self, features: np.ndarray) -> Any:
        """Encoder outputs, in whatever form :meth:`generate` takes them, of (batch, num_mels, frames) features."""

    @abstractmethod
    def generate(self, encoded: Any, prompts: list[list[Tokens]], search: Search) -> list[list[Tokens]]:
        """Tokens of every target, without the prompt and the end token.

        Args:
            prompts: of each utterance the prompts of its targets; all utterances have as many.
        """

    def __call__(self, utterances: Sequence[Utterance], feats: Sequence[np.ndarray], num_frames: int) -> dict[str, str]:
        """Hypotheses of every key of every utterance; all utterances have as many keys.

        Args:
            feats: (frames, num_mels) of each utterance.
            num_frames: what all are padded to.
        """
        features = stack_feats(feats, num_frames).numpy()
        limits = [token_limit(utterance.num_frames) for utterance in utterances]
        prompts = [[prompt_ids(self.tokenizer, key) for key in utterance.keys] for utterance in utterances]
        tokens = self.generate(self.encode(features), prompts, Search(self.beam_size, max(limits)))
        for row, limit in enumerate(limits):
            endless = [target for target, found in enumerate(tokens[row]) if len(found) >= limit]
            if endless:  # alone, so that the result does not depend on the rest of the batch
                again = self._decode_again(feats[row], [prompts[row][target] for target in endless], limit, num_frames)
                for target, found in zip(endless, again, strict=True):
                    tokens[row][target] = found
        return {key: text.strip() for utterance, found in zip(utterances, tokens, strict=True)
                for key, text in zip(utterance.keys, self.tokenizer.batch_decode(found, skip_special_tokens=True),
                                     strict=True)}

    def _decode_again(self, feats: np.ndarray, prompts: list[Tokens], limit: int, num_frames: int) -> list[Tokens]:
        """Tokens of one utterance's targets, at the 30 s that Whisper knows best; what loops there is made to end."""
        encoded = self.encode(stack_feats([feats], FULL_WINDOW).numpy())
        tokens: list[Tokens] = []
        if num_frames < FULL_WINDOW:
            tokens = self.generate(encoded, [prompts], Search(self.beam_size, limit))[0]
        if not tokens or any(len(found) >= limit for found in tokens):
            last = self.generate(encoded, [prompts], Search(max_tokens=limit, **_LAST_RESORT))[0]
            tokens = [found if len(found) < limit else other
                      for found, other in zip(tokens or last, last, strict=True)]
        return tokens


def plan_batches(utterances: Sequence[Utterance], max_frames: int, window: str) -> list[Batch]:
    """Utterances with as many targets and of like length together, longest first.

    Args:
        max_frames: budget of a batch, padding counted.
        window: ``short`` pads to the batch's longest utterance, ``full`` to Whisper's 3000 frames.
    """
    frames = [FULL_WINDOW if window == "full" else utterance.num_frames for utterance in utterances]
    batches = []
    for num_targets in sorted({len(utterance.keys) for utterance in utterances}, reverse=True):
        group = [index for index, utterance in enumerate(utterances) if len(utterance.keys) == num_targets]
        group.sort(key=lambda index: -utterances[index].num_frames)
        batches += [Batch([utterances[index] for index in batch], max(frames[index] for index in batch))
                    for batch in pack(group, frames, max_frames)]
    return batches


def decode_set(decoder: Decoder, read_feats: Callable[[str], np.ndarray],
               batches: Sequence[Batch]) -> tuple[dict[str, str], float]:
    """Hypotheses of all batches, and the seconds it took, reading of features included.

    A decoder with several workers gets several batches at once.
    """
    def decode(batch: Batch) -> dict[str, str]:
        feats = [read_feats(utterance.source) for utterance in batch.utterances]
        hypotheses = decoder(batch.utterances, feats, batch.num_frames)
        bar.update(len(batch.utterances))
        return hypotheses

    started = time.perf_counter()
    total = sum(len(batch.utterances) for batch in batches)
    hypotheses: dict[str, str] = {}
    with progress_bar("decoding", total) as bar, ThreadPoolExecutor(decoder.workers) as pool:
        for texts in pool.map(decode, batches):
            hypotheses |= texts
    return hypotheses, time.perf_counter() - started


class TransformersDecoder(Decoder):
    """Greedy or beam search with a model from :mod:`utils.modeling`.

    Args:
        model: on its device, in its precision; is put into evaluation mode.
    """

    def __init__(self, model: MultitaskWhisper, tokenizer: WhisperTokenizerFast, beam_size: int = 1) -> None:
        super().__init__(tokenizer, beam_size)
        self.model = model.eval()

    @torch.inference_mode()
    def encode(self, features: np.ndarray) -> torch.Tensor:
        """(batch, ceil(frames / 2), d_model) on the model's device."""
        inputs = torch.from_numpy(features).to(self.model.device, self.model.dtype)
        return self.model.model.encoder(inputs).last_hidden_state

    @torch.inference_mode()
    def generate(self, encoded: torch.Tensor, prompts: list[list[Tokens]], search: Search) -> list[list[Tokens]]:
        """Tokens of every target; see :class:`Decoder`."""
        model, stock = self.model, self.model.generation_config
        rows = torch.tensor([row for row, targets in enumerate(prompts) for _ in targets], device=model.device)
        inputs = torch.tensor([prompt for targets in prompts for prompt in targets], device=model.device)
        config = GenerationConfig(
            max_length=inputs.shape[1] + search.max_tokens, num_beams=search.beam_size, do_sample=False, use_cache=True,
            no_repeat_ngram_size=search.no_repeat_ngram, eos_token_id=model.config.eos_token_id,
            pad_token_id=model.config.pad_token_id, decoder_start_token_id=model.config.decoder_start_token_id,
            suppress_tokens=stock.suppress_tokens or None, begin_suppress_tokens=stock.begin_suppress_tokens or None)
        # Whisper's own generate() takes one task a batch and may run the encoder again to find the language.
        outputs = GenerationMixin.generate(
            model, generation_config=config, decoder_input_ids=inputs,
            encoder_outputs=BaseModelOutput(last_hidden_state=encoded[rows]),
            attention_mask=torch.ones(len(rows), encoded.shape[1], dtype=torch.long, device=model.device))
        found = iter(outputs[:, inputs.shape[1]:].tolist())
        return [[self._until_end(next(found)) for _ in targets] for targets in prompts]

    def _until_end(self, tokens: Tokens) -> Tokens:
        end = self.model.config.eos_token_id
        return tokens[:tokens.index(end)] if end in tokens else tokens
