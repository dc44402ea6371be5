"""Made sounds that a voice activity detector takes for speech: a voice's harmonics, shaped like vowels."""

from __future__ import annotations

import numpy as np

RATE = 16_000
_SYLLABLES = 4  # a second
_VOWELS = np.array([(730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480), (570, 840, 2410)])  # Hz


def speak(seconds: float, seed: int = 0, pitch: float = 100.0) -> np.ndarray:
    """(samples,) float32 at 16 kHz: random vowels, four a second, of a gliding pitch in Hz."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    fundamental = pitch * (1 + 0.1 * np.sin(2 * np.pi * 0.7 * time))
    phase = 2 * np.pi * np.cumsum(fundamental) / RATE
    syllables = (time * _SYLLABLES).astype(int)
    formants = _VOWELS[rng.integers(0, len(_VOWELS), syllables.max() + 1)][syllables]
    voice = np.zeros_like(time)
    for harmonic in range(1, 30):
        frequency = harmonic * fundamental
        resonance = sum(0.5**number / (1 + ((frequency - formants[:, number]) / (60 + 40 * number)) ** 2)
                        for number in range(3))
        voice += np.where(frequency < RATE / 2, resonance / harmonic**0.5, 0) * np.sin(harmonic * phase)
    voice *= 0.15 + 0.85 * np.sin(np.pi * (time * _SYLLABLES % 1)) ** 0.7
    return (0.3 * voice / np.abs(voice).max() + rng.normal(0, 0.001, len(time))).astype(np.float32)


def silence(seconds: float) -> np.ndarray:
    """(samples,) float32 at 16 kHz."""
    return np.zeros(round(seconds * RATE), np.float32)
