"""Cuts parts out of a recording that is read in blocks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np


def cut_parts(blocks: Iterable[np.ndarray], rate: int, spans: Sequence[tuple[float, float]],
              position: int = 0) -> Iterator[tuple[int, np.ndarray]]:
    """Cut parts out of a recording that is read in blocks; only what a part still needs is kept.

    Args:
        blocks: (samples,) one after the other.
        rate: samples a second.
        spans: start and end of each part (seconds), ordered by start; parts may overlap.
        position: samples before the first block.

    Yields:
        Of each part, the number of samples before it, and its samples (samples,): fewer than its length where the
        recording ends before it, and none, after all of the recording's, where it begins there.
    """
    source = iter(blocks)
    nothing: np.ndarray = np.zeros(0, np.float32)
    kept = nothing
    for start, end in spans:
        first, last = round(start * rate), round(end * rate)
        pieces, length = [kept], len(kept)
        while position + length < last and (block := next(source, None)) is not None:
            pieces.append(block)
            length += len(block)
            if position + length <= first:  # nothing of these is needed any more
                position += length
                pieces, length = [nothing], 0
        kept = np.concatenate(pieces)
        drop = min(len(kept), max(0, first - position))
        kept, position = kept[drop:], position + drop
        yield position, kept[:max(0, last - position)]
