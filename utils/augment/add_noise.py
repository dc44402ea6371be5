"""Additive noise at a drawn ratio of speech to noise: recorded, as in MUSAN (arXiv:1510.08484), or made."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from utils.audio.constants import FRAMES_PER_SECOND, SAMPLE_RATE
from utils.augment.draws import RangedAugmentation, SampleAugmentation
from utils.augment.no_speech import noise, noise_files

_QUIET = 1e-9  # mean square below which a window has nothing to add noise to, or the noise is silence


@dataclass(frozen=True)
class AddNoise(RangedAugmentation, SampleAugmentation):
    """Adds noise ``lowest`` to ``highest`` dB below the speech.

    Attributes:
        noise_dir: recorded noises are below it; half of the noises are made ones, all of them without it.
    """

    share: float = 0.3
    lowest: float = 5.0
    highest: float = 25.0
    bounds = (-20.0, 80.0)
    noise_dir: str = ""

    def check(self, name: str) -> None:
        super().check(name)
        if self.noise_dir:
            noise_files(self.noise_dir)

    def __call__(self, samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        frames = -(-len(samples) * FRAMES_PER_SECOND // SAMPLE_RATE)
        added = noise(frames, rng, noise_files(self.noise_dir) if self.noise_dir else ())
        added = np.resize(added, len(samples)) if len(added) else np.zeros_like(samples)
        speech, sound = float(np.mean(np.square(samples))), float(np.mean(np.square(added)))
        if speech < _QUIET or sound < _QUIET:
            return samples
        ratio = 10 ** (self.draw_value(rng) / 10)
        return (samples + added * np.sqrt(speech / (sound * ratio))).astype(np.float32)
