"""Samples that cannot be speech: digital silence, clipping throughout, channels that cancel each other."""

from __future__ import annotations

import numpy as np

_ANTIPHASE = 0.1  # a mix with less than this share of a channel's level has lost what was said
_SILENT = 2.0**-15  # of full scale: one step of 16 bits, which dither alone reaches
_CLIPPED_SHARE = 0.2  # of the samples; loud speech that was cut at full scale has a few percent


def mix_channels(samples: np.ndarray) -> np.ndarray:
    """The mean of the channels, shape (samples,), of (samples, channels).

    If the mean is far weaker than the loudest channel, the channels cancel each other, and that channel is taken.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # checked by the caller
        mono: np.ndarray = samples.mean(axis=1, dtype=np.float32)
    return samples[:, _levels(samples).argmax()] if channels_cancel(samples, mono) else mono


def channels_cancel(samples: np.ndarray, mono: np.ndarray) -> bool:
    """Whether the mean ``mono`` of the channels (samples, channels) has lost what they hold."""
    if samples.shape[1] < 2 or not len(samples):
        return False
    loudest = float(_levels(samples).max())
    return loudest > _SILENT and float(_levels(mono[:, None])[0]) < _ANTIPHASE * loudest


def _levels(samples: np.ndarray) -> np.ndarray:
    """Root mean square of each channel."""
    with np.errstate(over="ignore", invalid="ignore"):
        squares = np.einsum("tc,tc->c", samples, samples, dtype=np.float64)
        levels: np.ndarray = np.sqrt(squares / max(1, len(samples)))
    return levels


def unlike_speech(samples: np.ndarray) -> str:
    """What tells that samples (samples,) are no speech; "" if nothing does."""
    magnitude = np.abs(samples)
    peak = float(magnitude.max(initial=0))
    if peak <= _SILENT:
        return "digital silence"
    if np.mean(magnitude >= 0.99 * peak) > _CLIPPED_SHARE:
        return f"clipped: over {_CLIPPED_SHARE:.0%} of its samples are at their largest value"
    return ""
