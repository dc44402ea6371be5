"""Batches by frames: utterances of similar length, shuffled deterministically by (seed, epoch)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from torch.utils.data import Sampler

from utils.audio.constants import FULL_WINDOW
from utils.config import PaddingOptions
from utils.features.feature_set import pack


class Item(NamedTuple):
    """What the dataset makes an example of."""

    window: int  # by number
    padded_frames: int  # to which its batch is padded
    epoch: int = 0

_BUCKET_RATIO = 1.1


def draw_padding(options: PaddingOptions, rng: np.random.Generator, longest: int, window: int) -> int:
    """Return how many frames of silence to append to a batch whose longest utterance has ``longest`` frames.

    The sum is at most ``window``, Whisper's 3000 frames.
    """
    room = window - longest
    most = min(options.max_frames, room)
    if options.policy == "full":
        return room
    if options.policy == "constant":
        return most
    if options.policy == "uniform":
        return int(rng.integers(0, most + 1))
    if options.policy == "log-uniform":
        return int(np.expm1(rng.uniform(0.0, np.log1p(most))))
    return 0


def make_divisible(batches: list[list[int]], divisor: int) -> list[list[int]]:
    """Halve the batches with the most utterances until ``divisor`` divides their number; keep their order.

    So every utterance occurs exactly once. With too few utterances, the last batch is repeated.
    """
    batches = list(batches)
    while len(batches) % divisor:
        largest = max(range(len(batches)), key=lambda index: len(batches[index]))
        half = len(batches[largest]) // 2
        if half:
            batches[largest:largest + 1] = [batches[largest][:half], batches[largest][half:]]
        else:
            batches.append(batches[-1])
    return batches


class FrameBatchSampler(Sampler[list[Item]]):
    """Batches of ``(utterance index, frames to pad to)``, which depend only on (seed, epoch).

    Utterances are sorted into buckets by length (each bucket 10 % wider than the one before) and shuffled inside their
    bucket, so that batches differ between epochs. Packing uses the bucket's length, not the utterance's. So every
    epoch has the same number of batches, on which the trainer's schedule and resuming depend.

    The share ``padding.full_window_share`` of the utterances is padded to the full window, in whole batches, spread
    evenly over the epoch. Those that are longer than half of it always are.

    Several processes (ranks) that train together draw the same epoch, and each takes every ``num_ranks``-th batch. All
    ranks have the same number of batches. The batches of one step have similar lengths and the same padding, so that no
    process waits long for another. Without ``shuffle`` (evaluation), a rank may have one batch less. With ``fixed``,
    all epochs have the batches and padding of the first one, in another order.

    Args:
        num_frames: length of each utterance, in frames of 10 ms.
        max_frames: limit of the frames of a batch, with padding to its longest utterance.
        max_utterances: limit of the utterances of a batch; 0: no limit.
    """

    def __init__(self, num_frames: Sequence[int] | np.ndarray, max_frames: int, padding: PaddingOptions, *,
                 window: int = FULL_WINDOW, max_utterances: int = 0, seed: int = 0, shuffle: bool = True, rank: int = 0,
                 num_ranks: int = 1, fixed: bool = False) -> None:
        self.num_frames = np.asarray(num_frames)
        self.max_frames = max_frames
        self.padding = padding
        self.window = window
        self.max_utterances = max_utterances
        self.seed = seed
        self.shuffle = shuffle
        self.rank = rank
        self.num_ranks = num_ranks
        self.fixed = fixed
        self.epoch = 0
        bucket = np.ceil(np.log(np.maximum(self.num_frames, 1)) / np.log(_BUCKET_RATIO)) if shuffle else self.num_frames
        self._bucket = bucket
        self._packed_length = np.minimum(np.ceil(_BUCKET_RATIO**bucket), window) if shuffle else self.num_frames
        self._length = len(self.batches(0)[rank::num_ranks])

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the batches that follow."""
        self.epoch = epoch

    def batches(self, epoch: int) -> list[list[Item]]:
        """Return all batches of an epoch, of all ranks; every ``num_ranks`` successive batches are one step."""
        steps = self._steps(0 if self.fixed else epoch)
        if self.fixed:
            order = np.random.default_rng([self.seed, epoch]).permutation(len(steps))
            steps = [steps[number] for number in order]
        return [batch for step in steps for batch in step]

    def _steps(self, epoch: int) -> list[list[list[Item]]]:
        """The batches of an epoch, grouped by step."""
        rng = np.random.default_rng([self.seed, epoch])
        tie_break = rng.random(len(self.num_frames)) if self.shuffle else np.arange(len(self.num_frames))
        order = np.lexsort((tie_break, self._bucket)).tolist()
        packed = pack(order, self._packed_length.tolist(), self.max_frames, self.max_utterances)
        ranks = self.num_ranks if self.shuffle else 1
        packed = make_divisible(packed, ranks)
        groups = [packed[first:first + ranks] for first in range(0, len(packed), ranks)]
        if self.shuffle:
            rng.shuffle(groups)
        steps, seen, taken = [], 0, 0
        for group in groups:
            longest = max(int(self.num_frames[batch].max()) for batch in group)
            padded = longest + draw_padding(self.padding, rng, longest, self.window)
            size = sum(map(len, group))
            seen += size
            too_few = self.padding.full_window_share * seen - taken > size / 2
            if too_few or longest > self.window / 2:  # long ones are so where users run the model
                taken += size
                padded = self.window
            steps.append([[Item(index, padded, epoch) for index in batch] for batch in group])
        return steps

    def __iter__(self) -> Iterator[list[Item]]:
        return iter(self.batches(self.epoch)[self.rank::self.num_ranks])

    def __len__(self) -> int:
        return self._length
