"""Reverberation: impulse responses of rooms, as in RIRS_NOISES (Ko et al. 2017, ICASSP), or made ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from utils.audio.constants import SAMPLE_RATE
from utils.audio.loading import load_audio
from utils.augment.draws import RangedAugmentation, SampleAugmentation
from utils.augment.no_speech import noise_files


@dataclass(frozen=True)
class Reverb(RangedAugmentation, SampleAugmentation):
    """Puts the speech into a room; what is said keeps its place and its level.

    Attributes:
        lowest: of the time in which a made room's echo falls by 60 dB, seconds.
        highest: the same.
        rir_dir: recorded impulse responses are below it; without it, rooms are made: noise that dies away.
    """

    share: float = 0.3
    lowest: float = 0.1
    highest: float = 0.7
    bounds = (0.01, 5.0)
    rir_dir: str = ""

    def check(self, name: str) -> None:
        super().check(name)
        if self.rir_dir:
            noise_files(self.rir_dir, "rir_dir")

    def __call__(self, samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if self.rir_dir:
            files = noise_files(self.rir_dir, "rir_dir")
            response = load_audio(str(files[int(rng.integers(len(files)))]))
            response = response[int(np.abs(response).argmax()):]  # what comes before the direct sound is delay
        else:
            response = _made_response(self.draw_value(rng), rng)
        size = len(samples) + len(response) - 1
        size += size % 2
        heard = np.fft.irfft(np.fft.rfft(samples, size) * np.fft.rfft(response, size), size)[:len(samples)]
        before, after = float(np.sqrt(np.mean(np.square(samples)))), float(np.sqrt(np.mean(np.square(heard))))
        return (heard * (before / after if after > 0 else 1.0)).astype(np.float32)


def _made_response(seconds: float, rng: np.random.Generator) -> np.ndarray:
    """The direct sound, and noise that falls by 60 dB in ``seconds``: (num_samples,)."""
    length = max(2, round(seconds * SAMPLE_RATE))
    echo = rng.normal(0, 1, length) * 10 ** (-3 * np.arange(length) / length)
    echo *= 10 ** (-rng.uniform(0, 12) / 20) / np.sqrt(np.sum(np.square(echo)))  # 0 to 12 dB below the direct sound
    echo[0] = 1.0
    return echo
