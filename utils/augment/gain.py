"""Gain: speech louder or softer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from utils.augment.draws import FeatureAugmentation, RangedAugmentation
from utils.features.log_mel import DIGITAL_SILENCE

_SCALE = 4.0 * 10.0  # Whisper's features are decades of power, divided by 4; a decade is 10 dB


@dataclass(frozen=True)
class Gain(RangedAugmentation, FeatureAugmentation):
    """Makes a window ``lowest`` to ``highest`` dB louder.

    In log-mel features this adds a constant, which is exact: Whisper's clamp moves with the window's maximum. Only what
    lies at the floor of digital silence stays there.
    """

    lowest: float = -10.0
    highest: float = 6.0
    bounds = (-60.0, 60.0)

    def __call__(self, feats: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        louder = feats + np.float32(self.draw_value(rng) / _SCALE)
        return np.maximum(np.where(feats > DIGITAL_SILENCE, louder, feats), np.float32(DIGITAL_SILENCE))
