"""Speed perturbation: speech played faster or slower, with its pitch (Ko et al. 2015, Interspeech)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from utils.audio.constants import SAMPLE_RATE
from utils.augment.draws import RangedAugmentation


@dataclass(frozen=True)
class Speed(RangedAugmentation):
    """Plays a window ``lowest`` to ``highest`` times as fast. Times in its targets follow."""

    share: float = 0.67
    lowest: float = 0.9
    highest: float = 1.1
    bounds = (0.5, 2.0)

    def draw(self, rng: np.random.Generator) -> float:
        """How many times as fast."""
        return self.draw_value(rng) if rng.random() < self.share else 1.0


def play(samples: np.ndarray, speed: float) -> np.ndarray:
    """``samples`` (num_samples,) at 16 kHz, played ``speed`` times as fast: (num_samples / speed,)."""
    import soxr

    return soxr.resample(samples, SAMPLE_RATE * speed, SAMPLE_RATE).astype(np.float32)
