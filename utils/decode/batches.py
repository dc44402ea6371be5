"""Batches for decoding, of utterances with equally many targets and similar length; and decoding a whole set."""

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

_MIN_FILL = 0.7  # shortest utterance of a batch, as a share of its longest: limits padding, even in a small set


@dataclass(frozen=True)
class Batch:
    """Utterances that are encoded together, and the number of frames (10 ms) that they are padded to."""

    utterances: list[Utterance]
    num_frames: int


def plan_batches(utterances: Sequence[Utterance], max_frames: int, window: str, tail_frames: int = 0) -> list[Batch]:
    """Batches of utterances that have equally many targets and similar length, the longest first.

    Args:
        max_frames: the most frames in a batch, padding counted.
        window: ``short`` pads to the batch's longest utterance, ``full`` to Whisper's 3000 frames.
        tail_frames: frames of silence after the longest utterance of a short window.
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
    """Decode all batches; a decoder with several workers gets several batches at once.

    Args:
        read_feats: returns the (frames, num_mels) features of an utterance's ``source``.

    Returns:
        Hypotheses by key, and the seconds that decoding took, reading the features included.
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
