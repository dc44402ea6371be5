"""Clipping: the loudest samples are cut, as by a recording level that is too high."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from utils.augment.draws import SampleAugmentation, require_range


@dataclass(frozen=True)
class Clipping(SampleAugmentation):
    """Cuts samples at ``lowest`` to ``highest`` times the window's loudest one."""

    share: float = 0.1
    lowest: float = 0.2
    highest: float = 0.8

    def check(self, name: str) -> None:
        super().check(name)
        require_range(name, self.lowest, self.highest, 0.01, 1)

    def __call__(self, samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        limit = float(np.abs(samples).max()) * rng.uniform(self.lowest, self.highest)
        return np.clip(samples, -limit, limit).astype(np.float32)
