"""Pauses in log-mel features, where an utterance can be cut into pieces."""

from __future__ import annotations

import numpy as np

_SCALE = 4.0  # Whisper's features are decades of power, divided by 4
_LEAST_RANGE = 1.0  # decades between speech and what is quiet; with less, nothing tells a pause
_QUIET_SHARE = 0.35  # of this range, from below: what lies there is quiet
_LEAST_PAUSE = 20  # frames (10 ms)
_LEAST_PIECE = 100  # frames; a shorter piece stays with the next one


def pieces_at_pauses(feats: np.ndarray) -> list[tuple[int, int]]:
    """Cut an utterance in the middle of its pauses.

    Args:
        feats: (frames, num_mels) in Whisper's scale.

    Returns:
        Start and end frame of each piece, in order, without gaps; one piece if there is no pause.
    """
    power = np.log10(np.mean(10.0 ** (_SCALE * feats), axis=1))
    floor, loud = np.percentile(power, [5, 90])
    if loud - floor < _LEAST_RANGE:
        return [(0, len(feats))]
    quiet = np.concatenate([[False], power < floor + _QUIET_SHARE * (loud - floor), [False]])
    edges = np.flatnonzero(quiet[1:] != quiet[:-1]).reshape(-1, 2)
    cuts = [int(first + last) // 2 for first, last in edges
            if last - first >= _LEAST_PAUSE and first > 0 and last < len(feats)]
    pieces, start = list[tuple[int, int]](), 0
    for cut in cuts:
        if cut - start >= _LEAST_PIECE and len(feats) - cut >= _LEAST_PIECE:
            pieces.append((start, cut))
            start = cut
    return [*pieces, (start, len(feats))]
