"""Batches by frames: utterances of like length together, shuffled deterministically by (seed, epoch)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler

from utils.audio.constants import FULL_WINDOW
from utils.config import PaddingOptions
from utils.features.feature_set import pack

# An item as the dataset takes it: which utterance, and how many frames its batch is padded to.
Item = tuple[int, int]

_BUCKET_RATIO = 1.1


def draw_padding(options: PaddingOptions, rng: np.random.Generator, longest: int, window: int) -> int:
    """Frames of silence to append to a batch whose longest utterance has ``longest`` frames.

    Never beyond Whisper's ``window`` (3000 frames).
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
    """Halve the batches with the most utterances until ``divisor`` divides their number; the order stays.

    So no utterance is left out and none comes twice, unless there are too few: then the last ones come again.
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
    """Batches of ``(utterance index, frames to pad to)``; the same for the same (seed, epoch), whatever reads them.

    Utterances are bucketed by length (each bucket 10 % wider than the one before) and shuffled inside their bucket, so
    every epoch draws new neighbours. Packing counts an utterance as long as its bucket, so every epoch has the same
    number of batches: the trainer's schedule and its resume rely on that.

    ``padding.full_window_share`` of the utterances are padded to the full window, whole batches spread evenly over the
    epoch.

    Several processes (ranks) that train together draw the same epoch and take every ``num_ranks``-th batch. All have as
    many, and those of one step are of like length, padded alike: no process waits long for another. Without
    ``shuffle``, which is for evaluation, batches are only shared out; a rank may have one less. ``fixed`` batches stay
    as the first epoch drew them, padding included; only their order changes.
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
        """Choose which epoch's batches come next."""
        self.epoch = epoch

    def batches(self, epoch: int) -> list[list[Item]]:
        """All batches of an epoch, those of all ranks; each ``num_ranks`` of them are one step."""
        steps = self._steps(0 if self.fixed else epoch)
        if self.fixed:
            np.random.default_rng([self.seed, epoch]).shuffle(steps)
        return [batch for step in steps for batch in step]

    def _steps(self, epoch: int) -> list[list[list[Item]]]:
        """The batches of each step."""
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
            if self.padding.full_window_share * seen - taken > size / 2:  # they are fewer than they should be
                taken += size
                padded = self.window
            steps.append([[(index, padded) for index in batch] for batch in group])
        return steps

    def __iter__(self) -> Iterator[list[Item]]:
        return iter(self.batches(self.epoch)[self.rank::self.num_ranks])

    def __len__(self) -> int:
        return self._length
