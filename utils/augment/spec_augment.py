"""SpecAugment: bands of time and of frequency are masked (Park et al. 2019, arXiv:1904.08779, without time warping)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from utils.augment.draws import FeatureAugmentation, require_range


@dataclass(frozen=True)
class SpecAugment(FeatureAugmentation):
    """Masks bands of a window with its mean. Silence that pads the window is not masked: it comes later.

    Attributes:
        time_masks: number of masks for each 10 s, at least one if it is not 0.
        time_width: frames (10 ms) of the widest mask.
        time_limit: the widest mask is at most this share of the window.
        mel_masks: number of masks of frequency.
        mel_width: mels of the widest mask.
    """

    time_masks: int = 2
    time_width: int = 40
    time_limit: float = 0.2
    mel_masks: int = 2
    mel_width: int = 20

    def check(self, name: str) -> None:
        super().check(name)
        for field in ("time_masks", "time_width", "mel_masks", "mel_width"):
            value = getattr(self, field)
            require_range(f"{name}.{field}", value, value, 0, 3000)
        require_range(f"{name}.time_limit", self.time_limit, self.time_limit, 0, 1)

    def __call__(self, feats: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        masked, mean = feats.copy(), feats.mean()
        frames, mels = feats.shape
        widest = min(self.time_width, int(self.time_limit * frames))
        number = max(min(1, self.time_masks), round(self.time_masks * frames / 1000))
        for first, last in _bands(number, widest, frames, rng):
            masked[first:last] = mean
        for first, last in _bands(self.mel_masks, min(self.mel_width, mels), mels, rng):
            masked[:, first:last] = mean
        return masked


def _bands(number: int, widest: int, size: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    bands = []
    for _ in range(number):
        width = int(rng.integers(0, widest + 1))
        first = int(rng.integers(0, size - width + 1))
        bands.append((first, first + width))
    return bands
