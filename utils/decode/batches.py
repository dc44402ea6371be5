"""Batches for decoding, of utterances with equally many targets and similar length; and decoding a whole set."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from utils.audio.constants import FULL_WINDOW
from utils.cli import progress_bar
from utils.decode.decoder import Decoder
from utils.features.feature_set import Utterance, pack, stack_feats

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


class Decoded(NamedTuple):
    """The hypotheses of one search, by key, and the seconds that it takes alone, encoder and features included."""

    hypotheses: dict[str, str]
    seconds: float


def decode_set(decoder: Decoder, read_feats: Callable[[str], np.ndarray], batches: Sequence[Batch]) -> Decoded:
    """Decode all batches; see :func:`decode_searches`."""
    return decode_searches(decoder, read_feats, batches, [decoder.beam_size])[decoder.beam_size]


def decode_searches(decoder: Decoder, read_feats: Callable[[str], np.ndarray], batches: Sequence[Batch],
                    beam_sizes: Sequence[int]) -> dict[int, Decoded]:
    """Decode all batches, with several searches if asked: one encoder pass serves all of them.

    A decoder with several workers gets several batches at once. A search's seconds are the time that the workers spent
    on it and on what the searches share, as a share of the whole time.

    Args:
        read_feats: returns the (frames, num_mels) features of an utterance's ``source``.
        beam_sizes: of the searches; each is another one.

    Returns:
        The result of each search, by its beam size.
    """
    def decode(batch: Batch) -> tuple[list[dict[str, str]], np.ndarray]:
        times = [time.perf_counter()]
        feats = [read_feats(utterance.source) for utterance in batch.utterances]
        encoded = decoder.encode(stack_feats(feats, batch.num_frames).numpy())
        times.append(time.perf_counter())
        found = []
        for beam_size in beam_sizes:
            found.append(decoder(batch.utterances, feats, batch.num_frames, encoded, beam_size))
            times.append(time.perf_counter())
        bar.update(len(batch.utterances))
        return found, np.diff(times)

    started = time.perf_counter()
    total = sum(len(batch.utterances) for batch in batches)
    hypotheses: list[dict[str, str]] = [{} for _ in beam_sizes]
    spent = np.full(1 + len(beam_sizes), 1e-9)  # on what is shared, then on each search
    with progress_bar("decoding", total) as bar, ThreadPoolExecutor(decoder.workers) as pool:
        for found, times in pool.map(decode, batches):
            spent += times
            for all_texts, texts in zip(hypotheses, found, strict=True):
                all_texts |= texts
    seconds = (spent[0] + spent[1:]) / spent.sum() * (time.perf_counter() - started)
    return {beam_size: Decoded(texts, float(of_search))
            for beam_size, texts, of_search in zip(beam_sizes, hypotheses, seconds, strict=True)}
