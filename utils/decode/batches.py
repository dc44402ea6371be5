"""Batches for decoding: as many targets, like length; and decoding all of a set."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from utils.audio.constants import FULL_WINDOW
from utils.cli import progress_bar
from utils.decode.decoder import Decoder
from utils.features.feature_set import Utterance, pack

_MIN_FILL = 0.7  # of a batch's longest: so little is padding, even in a small set


@dataclass(frozen=True)
class Batch:
    """Utterances that are encoded together, and the frames they are padded to."""

    utterances: list[Utterance]
    num_frames: int


def plan_batches(utterances: Sequence[Utterance], max_frames: int, window: str, tail_frames: int = 0) -> list[Batch]:
    """Utterances with as many targets and of like length together, longest first.

    Args:
        max_frames: budget of a batch, padding counted.
        window: ``short`` pads to the batch's longest utterance, ``full`` to Whisper's 3000 frames.
        tail_frames: silence after the longest utterance of a short window.
    """
    frames = [FULL_WINDOW if window == "full" else min(utterance.num_frames + tail_frames, FULL_WINDOW)
              for utterance in utterances]
    batches = []
    for num_targets in sorted({len(utterance.keys) for utterance in utterances}, reverse=True):
        group = [index for index, utterance in enumerate(utterances) if len(utterance.keys) == num_targets]
        group.sort(key=lambda index: -utterances[index].num_frames)
        batches += [Batch([utterances[index] for index in batch], max(frames[index] for index in batch))
                    for batch in pack(group, frames, max_frames, min_fill=_MIN_FILL)]
    return batches


def decode_set(decoder: Decoder, read_feats: Callable[[str], np.ndarray],
               batches: Sequence[Batch]) -> tuple[dict[str, str], float]:
    """Hypotheses of all batches, and the seconds it took, reading of features included.

    A decoder with several workers gets several batches at once.
    """
    def decode(batch: Batch) -> dict[str, str]:
        feats = [read_feats(utterance.source) for utterance in batch.utterances]
        hypotheses = decoder(batch.utterances, feats, batch.num_frames)
        bar.update(len(batch.utterances))
        return hypotheses

    started = time.perf_counter()
    total = sum(len(batch.utterances) for batch in batches)
    hypotheses: dict[str, str] = {}
    with progress_bar("decoding", total) as bar, ThreadPoolExecutor(decoder.workers) as pool:
        for texts in pool.map(decode, batches):
            hypotheses |= texts
    return hypotheses, time.perf_counter() - started
