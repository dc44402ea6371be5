"""Clipping: the loudest samples are cut, as by a recording level that is too high."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from utils.augment.draws import RangedAugmentation, SampleAugmentation


@dataclass(frozen=True)
class Clipping(RangedAugmentation, SampleAugmentation):
    """Cuts samples at ``lowest`` to ``highest`` times the window's loudest one."""

    share: float = 0.1
    lowest: float = 0.2
    highest: float = 0.8
    bounds = (0.01, 1.0)

    def __call__(self, samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        limit = float(np.abs(samples).max()) * self.draw_value(rng)
        return np.clip(samples, -limit, limit).astype(np.float32)
