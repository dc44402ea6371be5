"""Decoding: all targets of an utterance from one encoder pass, tasks and languages mixed in a batch."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from transformers import GenerationConfig, GenerationMixin, WhisperTokenizerFast
from transformers.modeling_outputs import BaseModelOutput

from utils.batching import pack
from utils.cli import progress_bar
from utils.modeling import MultitaskWhisper
from utils.multitask_data import Utterance, stack_feats
from utils.prompts import MAX_TARGET_TOKENS, prompt_ids

FULL_WINDOW = 3000  # frames: the 30 s that Whisper was trained on


@dataclass(frozen=True)
class Batch:
    """Utterances that are encoded together, and the frames they are padded to."""

    utterances: list[Utterance]
    num_frames: int


class Decoder(Protocol):
    """What decodes a batch: (utterances, their (frames, num_mels) features, frames to pad to) -> key -> hypothesis."""

    workers: int  # how many batches it can decode at once

    def __call__(self, utterances: Sequence[Utterance], feats: Sequence[np.ndarray], num_frames: int) -> dict[str, str]:
        """Hypotheses of every key of every utterance."""


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


class TransformersDecoder:
    """Greedy or beam search with a model from :mod:`utils.modeling`.

    Args:
        model: on its device, in its precision; is put into evaluation mode.
        beam_size: 1 is greedy search.
    """

    workers = 1

    def __init__(self, model: MultitaskWhisper, tokenizer: WhisperTokenizerFast, beam_size: int = 1) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        stock = model.generation_config
        self.generation = GenerationConfig(
            max_length=MAX_TARGET_TOKENS, num_beams=beam_size, do_sample=False, use_cache=True,
            eos_token_id=model.config.eos_token_id, pad_token_id=model.config.pad_token_id,
            decoder_start_token_id=model.config.decoder_start_token_id,
            suppress_tokens=stock.suppress_tokens or None, begin_suppress_tokens=stock.begin_suppress_tokens or None)

    @torch.inference_mode()
    def __call__(self, utterances: Sequence[Utterance], feats: Sequence[np.ndarray],
                 num_frames: int) -> dict[str, str]:
        """Hypotheses of a batch.

        Args:
            feats: (frames, num_mels) of each utterance.
            num_frames: what all are padded to.

        Returns:
            key -> text, for every key of every utterance.
        """
        device, dtype = self.model.device, self.model.dtype
        encoded = self.model.model.encoder(stack_feats(feats, num_frames).to(device, dtype)).last_hidden_state
        keys = [key for utterance in utterances for key in utterance.keys]
        rows = torch.tensor([row for row, utterance in enumerate(utterances) for _ in utterance.keys], device=device)
        prompts = torch.tensor([prompt_ids(self.tokenizer, key) for key in keys], device=device)
        # Whisper's own generate() takes one task a batch and may run the encoder again to find the language.
        tokens = GenerationMixin.generate(
            self.model, generation_config=self.generation, decoder_input_ids=prompts,
            encoder_outputs=BaseModelOutput(last_hidden_state=encoded[rows]),
            attention_mask=torch.ones(len(keys), encoded.shape[1], dtype=torch.long, device=device))
        texts = self.tokenizer.batch_decode(tokens[:, prompts.shape[1]:], skip_special_tokens=True)
        return {key: text.strip() for key, text in zip(keys, texts, strict=True)}
