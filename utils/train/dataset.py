"""Training examples: one window, one encoder pass, and one decoder sequence for each task."""

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
from utils.config import WindowOptions
from utils.errors import UserError
from utils.features.feature_set import Utterance, stack_feats
from utils.features.joining import join_feats
from utils.model.modeling import IGNORED
from utils.model.sampled_silence import EDGE_FRAMES, sample_silence
from utils.train.augmenter import Augmenter
from utils.train.balance import describe_balance, repeated_windows
from utils.train.batching import Item
from utils.train.targets import Target, TargetWriter
from utils.train.window_plan import WindowPlan
from utils.train.windows import Window, compose, single_windows


class MultitaskDataset(Dataset[dict[str, Any]]):
    """Examples of one window each: its features and the tokens of all its targets.

    Args:
        read_feats: returns the features of an utterance's ``source``, (frames, num_mels).
        texts: references by key, for every key of ``utterances``.
        text_path: file of ``texts``, for messages.
        plan: the windows; None: one for each utterance, without times or earlier text.
        augmenter: changes what is heard; None: windows are as recorded.

    Raises:
        UserError: a key has no text.
    """

    def __init__(self, utterances: Sequence[Utterance], read_feats: Callable[[str], np.ndarray],
                 texts: dict[str, str], tokenizer: WhisperTokenizer, text_path: str | Path = "text",
                 plan: WindowPlan | None = None, augmenter: Augmenter | None = None) -> None:
        missing = [key for utterance in utterances for key in utterance.keys if key not in texts]
        if missing:
            raise UserError(f"{text_path}: no line for {missing[0]} ({len(missing)} keys have audio but no text)")
        options = plan.options if plan else WindowOptions()
        self.utterances = utterances
        self.writer = TargetWriter(utterances, texts, tokenizer, options, text_path)
        self.windows = single_windows(utterances)
        if plan:
            self.windows = compose(utterances, self.writer.longest_targets(), options, plan.seed, plan.speakers,
                                   plan.recorded, plan.silent)
            self.windows += repeated_windows(self.windows, utterances, plan.balance,
                                             np.random.default_rng([plan.seed, len(self.windows)]))
        self.num_frames = [window.num_frames for window in self.windows]
        self.num_targets = sum(len(utterance.keys) for utterance in utterances)
        self._plan = plan
        self._augmenter = augmenter
        self._read_feats = read_feats

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, item: Item) -> dict[str, Any]:
        window = self.windows[item.window]
        rng = np.random.default_rng([self._plan.seed if self._plan else 0, item.epoch, item.window])
        earlier = None if window.earlier is None else self.windows[window.earlier]
        if self._augmenter:
            members = [self.utterances[member] for member in window.members]
            window, feats = self._augmenter(window, members, (item.epoch, item.window), self._feats)
        else:
            feats = self._feats(window)
        # A window that is played slowly may be longer than its batch was planned.
        return {"index": item.window, "feats": feats, "padded_frames": max(item.padded_frames, len(feats)),
                "targets": self.writer.targets(window, earlier, rng)}

    def _feats(self, window: Window) -> np.ndarray:
        if window.noise is not None:
            assert self._plan is not None  # which alone has noises
            return self._plan.noise_feats(window)
        parts = [self._read_feats(self.utterances[member].source) for member in window.members]
        if window.starts == (0,):
            return parts[0]
        return join_feats(parts, window.starts, window.num_frames)


class MultitaskCollator:
    """Collates examples to a batch; a decoder row has all targets of an utterance, one after the other.

    A token attends only to its own target: ``decoder_segments`` (batch, length) numbers the targets, -1 is padding, and
    positions start at 0 in each target. So cross-attention keys and values are computed once for an utterance. Labels
    are the next tokens; see :mod:`utils.train.targets` for which the loss counts.

    Args:
        end_token: id of ``<|endoftext|>``.
        silence_positions: encoder positions that represent longer silence, see :mod:`utils.model.sampled_silence`.
    """

    def __init__(self, end_token: int, silence_positions: int = 0) -> None:
        self.end_token = end_token
        self.silence_positions = silence_positions

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        rows = [_row(example["targets"]) for example in examples]
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


def _row(targets: Sequence[Target]) -> tuple[list[int], list[int], list[int], list[int]]:
    """Targets one after the other: input tokens, their positions, the number of their target, labels."""
    inputs, positions, segments, labels = list[int](), list[int](), list[int](), list[int]()
    for number, (tokens, of_tokens) in enumerate(targets):
        inputs += tokens
        positions += range(len(tokens))
        segments += [number] * len(tokens)
        labels += of_tokens
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


def describe_epoch(dataset: MultitaskDataset) -> str:
    """Return one line for the log: targets and tokens of an epoch by language and task."""
    return describe_balance(dataset.windows, dataset.utterances, dataset.writer.num_tokens)


def describe(dataset: MultitaskDataset) -> str:
    """Return one line for the log: the numbers of targets and utterances, and their duration in minutes."""
    minutes = math.fsum(utterance.num_frames for utterance in dataset.utterances) / (60 * FRAMES_PER_SECOND)
    return f"{dataset.num_targets} targets of {len(dataset.utterances)} utterances, {minutes:.1f} minutes"
