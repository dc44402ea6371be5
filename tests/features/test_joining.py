"""Joined features: those of the joined audio."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_speech import RATE, silence, speak

from utils.features.joining import join_feats
from utils.features.log_mel import LogMel, pad_frames

FRAME = RATE // 100


@pytest.mark.parametrize("loudness", [(1.0, 1.0, 1.0), (0.01, 1.0, 0.1), (1.0, 0.0005, 0.3)])
def test_joined_features_are_those_of_the_joined_audio(tiny_whisper: Path, loudness: tuple[float, ...]) -> None:
    log_mel = LogMel(tiny_whisper)
    spoken = [level * speak(seconds, seed=number) for number, (seconds, level) in enumerate(
        zip((1.3, 2.05, 0.7), loudness, strict=True))]
    starts = [40, 40 + 130 + 55, 40 + 130 + 55 + 205 + 120]
    audio = silence(8)
    for samples, start in zip(spoken, starts, strict=True):
        audio[start * FRAME:start * FRAME + len(samples)] = samples
    expected = pad_frames(log_mel(audio), 800)[:800]
    found = join_feats([log_mel(samples) for samples in spoken], starts, 800)
    mirrored = [start + frame for start in starts for frame in (-1, 0, 1)]  # see the beginning of an utterance
    same = np.setdiff1d(np.arange(800), mirrored)
    assert np.abs(found[same] - expected[same]).max() < 1e-4
    assert found.dtype == np.float32 and found.shape == expected.shape


def test_an_utterance_is_cut_at_the_windows_end(tiny_whisper: Path) -> None:
    feats = LogMel(tiny_whisper)(speak(2))
    found = join_feats([feats, feats], [0, 250], 300)
    assert np.array_equal(found[250:], np.maximum(feats[:50], found.min()))
