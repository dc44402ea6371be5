"""Training examples: one feature matrix, one encoder pass, and one decoder sequence for each task."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset
from transformers import WhisperTokenizer

from utils.audio.constants import FRAMES_PER_SECOND
from utils.data.prompts import MAX_TARGET_TOKENS, prompt_ids, text_ids
from utils.errors import UserError
from utils.features.feature_set import Utterance, stack_feats
from utils.model.modeling import IGNORED
from utils.model.sampled_silence import EDGE_FRAMES, sample_silence


class MultitaskDataset(Dataset[dict[str, Any]]):
    """Examples of one utterance each: its features and the tokens of all its targets.

    Args:
        read_feats: returns the features of an utterance's ``source``, (frames, num_mels).
        texts: references by key, for every key of ``utterances``.
        text_path: file of ``texts``, for messages.

    Raises:
        UserError: a key has no text.
    """

    def __init__(self, utterances: Sequence[Utterance], read_feats: Callable[[str], np.ndarray],
                 texts: dict[str, str], tokenizer: WhisperTokenizer, text_path: str | Path = "text") -> None:
        missing = [key for utterance in utterances for key in utterance.keys if key not in texts]
        if missing:
            raise UserError(f"{text_path}: no line for {missing[0]} ({len(missing)} keys have audio but no text)")
        self.utterances = utterances
        self.num_frames = [utterance.num_frames for utterance in utterances]
        self.num_targets = sum(len(utterance.keys) for utterance in utterances)
        self._read_feats = read_feats
        self._texts = texts
        self._text_path = text_path
        self._tokenizer = tokenizer

    def __len__(self) -> int:
        return len(self.utterances)

    def __getitem__(self, item: tuple[int, int]) -> dict[str, Any]:
        index, padded_frames = item
        utterance = self.utterances[index]
        targets = [self._target(key) for key in utterance.keys]
        return {"index": index, "feats": self._read_feats(utterance.source), "padded_frames": padded_frames,
                "targets": targets}

    def _target(self, key: str) -> tuple[list[int], list[int]]:
        prompt, text = prompt_ids(self._tokenizer, key), text_ids(self._tokenizer, key, self._texts[key])
        room = MAX_TARGET_TOKENS - len(prompt) - 1
        if len(text) > room:
            raise UserError(f"{self._text_path}: {key}: the text has {len(text)} tokens, Whisper has room for {room}. "
                            "Cut the utterance into shorter ones")
        return prompt, text


class MultitaskCollator:
    """Collates examples to a batch; a decoder row has all targets of an utterance, one after the other.

    A token attends only to its own target: ``decoder_segments`` (batch, length) numbers the targets, -1 is padding, and
    positions start at 0 in each target. So cross-attention keys and values are computed once for an utterance. Labels
    are the next tokens. The loss counts text and end token, but not the prompt, which is given in decoding.

    Args:
        end_token: id of ``<|endoftext|>``.
        silence_positions: encoder positions that represent longer silence, see :mod:`utils.model.sampled_silence`.
    """

    def __init__(self, end_token: int, silence_positions: int = 0) -> None:
        self.end_token = end_token
        self.silence_positions = silence_positions

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        rows = [self._row(example["targets"]) for example in examples]
        length = max(len(row[0]) for row in rows)
        columns = []
        for column, fill in zip(zip(*rows, strict=True), (self.end_token, 0, -1, IGNORED), strict=True):
            columns.append(torch.tensor([values + [fill] * (length - len(values)) for values in column]))
        names = ("decoder_input_ids", "decoder_position_ids", "decoder_segments", "labels")
        feats = [example["feats"] for example in examples]
        longest = max(map(len, feats))
        num_frames = max(example["padded_frames"] for example in examples)
        silence = sample_silence(longest, num_frames, self.silence_positions)
        if silence:
            num_frames = -(-(longest + EDGE_FRAMES) // 2) * 2
        return {"batch_id": examples[0]["index"],  # unique: an utterance is in one batch of an epoch
                "input_features": stack_feats(feats, num_frames), "silence": silence,
                **dict(zip(names, columns, strict=True))}

    def _row(self, targets: list[tuple[list[int], list[int]]]) -> tuple[list[int], list[int], list[int], list[int]]:
        inputs, segments, labels = [], [], []
        positions: list[int] = []
        for number, (prompt, text) in enumerate(targets):
            tokens = prompt + text
            inputs += tokens
            positions += range(len(tokens))
            segments += [number] * len(tokens)
            labels += [IGNORED] * (len(prompt) - 1) + text + [self.end_token]
        return inputs, positions, segments, labels


def split_batch(batch: dict[str, Any], max_frames: int) -> list[dict[str, Any]]:
    """Split a collated batch into parts of at most ``max_frames`` frames with padding, or of one utterance each."""
    utterances, _, frames = batch["input_features"].shape
    if batch["silence"]:
        frames += 2 * batch["silence"].count
    size = max(1, max_frames // frames)
    tensors = {name: value for name, value in batch.items() if isinstance(value, torch.Tensor)}
    return [{"batch_id": (batch["batch_id"], first), "silence": batch["silence"],
             **{name: tensor[first:first + size] for name, tensor in tensors.items()}}
            for first in range(0, utterances, size)]


def describe(dataset: MultitaskDataset) -> str:
    """Return one line for the log: the numbers of targets and utterances, and their duration in minutes."""
    minutes = math.fsum(dataset.num_frames) / (60 * FRAMES_PER_SECOND)
    return f"{dataset.num_targets} targets of {len(dataset)} utterances, {minutes:.1f} minutes"
