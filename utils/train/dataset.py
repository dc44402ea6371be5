"""Utterances with all their targets: one feature matrix, one encoder pass, one decoder sequence a task."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset
from transformers import WhisperTokenizerFast

from utils.audio.constants import FRAMES_PER_SECOND
from utils.audio.loading import audio_seconds, load_audio
from utils.config import Lists, require_file
from utils.data.lists import keys_by_audio, read_list
from utils.data.prompts import MAX_TARGET_TOKENS, prompt_ids, text_ids
from utils.errors import UserError
from utils.features.ark import read_ark
from utils.features.log_mel import LogMel, pad_frames
from utils.model.sampled_silence import EDGE_FRAMES, sample_silence

IGNORED = -100  # labels that do not count, as everywhere in PyTorch


@dataclass
class Utterance:
    """One audio file and the keys that name it. ``source`` is a place in an ark, or an audio file."""

    source: str
    num_frames: int
    keys: list[str] = field(default_factory=list)


def open_set(lists: Lists, section: str, log_mel: LogMel) -> tuple[list[Utterance], Callable[[str], np.ndarray]]:
    """Utterances of a set, in order of their first key, and the function that reads an utterance's features.

    Features come from ``feats_scp`` (with ``utt2num_frames`` beside it) if that is given, else they are computed
    from ``wav_scp`` when they are asked for.

    Args:
        section: the lists' place in the configuration, for messages.

    Raises:
        UserError: a list is missing or wrong, or the lists' keys differ.
    """
    if lists.feats_scp:
        scp = require_file(lists.feats_scp, f"{section}.feats_scp")
        frames = read_list(scp.with_name("utt2num_frames"))
        utterances = _group(read_list(scp, verbatim=True), lambda key, _: _frames_of(frames, key, scp))
        return utterances, partial(read_ark, num_mels=log_mel.num_mels)
    scp = require_file(lists.wav_scp, f"{section}.wav_scp")
    return (_group(read_list(scp, verbatim=True), lambda _, source: _frames_of_audio(log_mel, source, scp)),
            lambda source: log_mel(load_audio(source)))


def _frames_of(frames: dict[str, str], key: str, scp: Path) -> int:
    if not frames.get(key, "").isdecimal():
        raise UserError(f"{scp.with_name('utt2num_frames')}: no number for {key}, which {scp} has; run stage 2 again")
    return int(frames[key])


def _frames_of_audio(log_mel: LogMel, source: str, scp: Path) -> int:
    samples = round(audio_seconds(source) * log_mel.sampling_rate)
    if samples > log_mel.max_samples:
        raise UserError(f"{scp}: {source}: {samples / log_mel.sampling_rate:.2f} s; Whisper takes at most "
                        f"{log_mel.max_samples / log_mel.sampling_rate:g} s. Cut the utterance into shorter ones")
    return log_mel.num_frames(samples)


def _group(sources: dict[str, str], num_frames: Callable[[str, str], int]) -> list[Utterance]:
    return [Utterance(source, num_frames(keys[0], source), keys) for source, keys in keys_by_audio(sources).items()]


class MultitaskDataset(Dataset[dict[str, Any]]):
    """Examples of one utterance each: its features and all of its targets' tokens.

    Args:
        texts: key -> reference, for every key of ``utterances``.

    Raises:
        UserError: a key has no text.
    """

    def __init__(self, utterances: Sequence[Utterance], read_feats: Callable[[str], np.ndarray],
                 texts: dict[str, str], tokenizer: WhisperTokenizerFast, text_path: str | Path = "text") -> None:
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


def stack_feats(feats: Sequence[np.ndarray], num_frames: int) -> torch.Tensor:
    """(frames, num_mels) matrices, each padded with its own silence, as the encoder's (batch, num_mels, num_frames).

    The result is longer than ``num_frames`` if a matrix is: audio headers promise a frame more or less than they hold.
    """
    num_frames = max(num_frames, *(len(matrix) for matrix in feats))
    return torch.from_numpy(np.stack([pad_frames(matrix, num_frames).T for matrix in feats]))


class MultitaskCollator:
    """Examples to a batch whose decoder rows hold all targets of an utterance, one after the other.

    A row's targets do not see each other: ``decoder_segments`` (batch, length) numbers them, -1 is padding, and
    positions start again at 0 with each. So cross-attention keys and values are made once for an utterance. Labels
    are the next tokens: text and end token count, the prompt does not (it is given, and the task cannot be heard).

    Args:
        silence_positions: how many encoder positions stand for longer silence, see :mod:`utils.model.sampled_silence`.
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
        return {"batch_id": examples[0]["index"],  # an utterance is in one batch of an epoch only
                "input_features": stack_feats(feats, num_frames), "silence": silence,
                **dict(zip(names, columns, strict=True))}

    def _row(self, targets: list[tuple[list[int], list[int]]]) -> tuple[list[int], list[int], list[int], list[int]]:
        inputs, positions, segments, labels = [], [], [], []
        for number, (prompt, text) in enumerate(targets):
            tokens = prompt + text
            inputs += tokens
            positions += range(len(tokens))
            segments += [number] * len(tokens)
            labels += [IGNORED] * (len(prompt) - 1) + text + [self.end_token]
        return inputs, positions, segments, labels


def split_batch(batch: dict[str, Any], max_frames: int) -> list[dict[str, Any]]:
    """A collated batch in parts of at most ``max_frames`` feature frames, padding counted, or of one utterance each."""
    utterances, _, frames = batch["input_features"].shape
    if batch["silence"]:
        frames += 2 * batch["silence"].count
    size = max(1, max_frames // frames)
    tensors = {name: value for name, value in batch.items() if isinstance(value, torch.Tensor)}
    return [{"batch_id": (batch["batch_id"], first), "silence": batch["silence"],
             **{name: tensor[first:first + size] for name, tensor in tensors.items()}}
            for first in range(0, utterances, size)]


def describe(dataset: MultitaskDataset) -> str:
    """One line for the log: how many targets of how many utterances, and how long they are."""
    minutes = math.fsum(dataset.num_frames) / (60 * FRAMES_PER_SECOND)
    return f"{dataset.num_targets} targets of {len(dataset)} utterances, {minutes:.1f} minutes"
