"""Sounds in which nobody speaks: made ones, and those of a directory, for windows whose target is empty."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np

from utils.audio.constants import FRAMES_PER_SECOND, SAMPLE_RATE
from utils.audio.loading import load_audio
from utils.errors import UserError

_SUFFIXES = {".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a"}


@cache
def noise_files(directory: str, option: str = "noise_dir") -> tuple[Path, ...]:
    """The audio files below a directory, as MUSAN has them.

    Raises:
        UserError: there is none.
    """
    found = tuple(sorted(path for path in Path(directory).rglob("*") if path.suffix.lower() in _SUFFIXES))
    if not found:
        raise UserError(f"{option}: no audio files below {directory}")
    return found


def noise(num_frames: int, rng: np.random.Generator, files: Sequence[Path] = ()) -> np.ndarray:
    """Some sound without speech.

    Args:
        num_frames: length, in frames of 10 ms.
        files: recorded noises, used half of the time; none: made ones only.

    Returns:
        (samples,) float32 at 16 kHz.
    """
    samples = num_frames * SAMPLE_RATE // FRAMES_PER_SECOND
    if files and rng.random() < 0.5:
        recorded = load_audio(str(files[int(rng.integers(len(files)))]))
        first = int(rng.integers(max(1, len(recorded) - samples)))
        return recorded[first:first + samples]
    kind = _KINDS[int(rng.integers(len(_KINDS)))]
    level = 10 ** rng.uniform(-4, -0.5)
    return (level * kind(samples, rng)).astype(np.float32)


def _silent(samples: int, rng: np.random.Generator) -> np.ndarray:
    return np.zeros(samples)


def _white(samples: int, rng: np.random.Generator) -> np.ndarray:
    return rng.normal(0, 0.3, samples)


def _coloured(samples: int, rng: np.random.Generator) -> np.ndarray:
    """Noise whose power falls with frequency: pink, brown and between."""
    spectrum = np.fft.rfft(rng.normal(0, 1, samples))
    spectrum[1:] /= np.arange(1, len(spectrum)) ** rng.uniform(0.4, 1.2)
    spectrum[0] = 0
    shaped = np.fft.irfft(spectrum, samples)
    return 0.5 * shaped / max(np.abs(shaped).max(), 1e-9)


def _hum(samples: int, rng: np.random.Generator) -> np.ndarray:
    """Mains hum with overtones, and some noise."""
    time = np.arange(samples) / SAMPLE_RATE
    base = rng.choice([50.0, 60.0, 100.0, 120.0])
    tones = sum(rng.uniform(0, 1) / number * np.sin(2 * np.pi * base * number * time) for number in range(1, 8))
    return 0.2 * np.asarray(tones) + rng.normal(0, 0.01, samples)


def _clicks(samples: int, rng: np.random.Generator) -> np.ndarray:
    """Short bursts at random times."""
    sound = rng.normal(0, 0.002, samples)
    for start in rng.integers(0, samples, size=max(1, int(samples / SAMPLE_RATE * rng.uniform(0.5, 6)))):
        length = int(rng.integers(20, 600))
        burst = rng.normal(0, 1, length) * np.exp(-np.arange(length) / (0.2 * length))
        sound[start:start + length] += burst[:max(0, samples - start)]
    return sound


def _tones(samples: int, rng: np.random.Generator) -> np.ndarray:
    """Signals as of telephones and machines: one or two frequencies, switched on and off."""
    time = np.arange(samples) / SAMPLE_RATE
    sound = sum(np.sin(2 * np.pi * frequency * time) for frequency in rng.uniform(300, 3000, size=rng.integers(1, 3)))
    period = rng.uniform(0.2, 6.0)
    return 0.3 * np.asarray(sound) * (time % period < rng.uniform(0.2, 1.0) * period)


_KINDS: tuple[Callable[[int, np.random.Generator], np.ndarray], ...] = (
    _silent, _white, _coloured, _hum, _clicks, _tones)
