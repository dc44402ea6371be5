"""Features of several utterances in one window, as if their audio had been joined with silence between them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from utils.features.log_mel import DIGITAL_SILENCE, silence_level


def join_feats(parts: Sequence[np.ndarray], starts: Sequence[int], num_frames: int) -> np.ndarray:
    """Features of a window from the features of its utterances.

    Whisper clamps log-mel at the window's maximum minus 8 decades. What was clamped at an utterance's own, lower
    maximum can be clamped again at the window's. So this equals the features of the joined audio in all frames but the
    first two of each utterance: these see the beginning mirrored, where joined audio has silence.

    Args:
        parts: (frames, num_mels) of each utterance, as stage 2 stores them.
        starts: the frame at which each begins, in ascending order and without overlap.
        num_frames: of the window; an utterance is cut at its end.

    Returns:
        (num_frames, num_mels) float32.
    """
    joined = np.full((num_frames, parts[0].shape[1]), DIGITAL_SILENCE, dtype=np.float32)
    for part, start in zip(parts, starts, strict=True):
        inside = part[:max(0, num_frames - start)]
        joined[start:start + len(inside)] = inside
    return np.maximum(joined, silence_level(joined))
