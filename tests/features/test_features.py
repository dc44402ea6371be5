"""Log-mel features: with their padding put back, they are Whisper's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from transformers import WhisperFeatureExtractor

from utils.errors import UserError
from utils.features.log_mel import LogMel, pad_frames, silence_level

RATE, WINDOW = 16_000, 3000


@pytest.fixture(scope="module", params=[80, 128])
def extractor(request: pytest.FixtureRequest) -> WhisperFeatureExtractor:
    return WhisperFeatureExtractor(feature_size=request.param)


@pytest.fixture
def log_mel(extractor: WhisperFeatureExtractor, tmp_path: Path) -> LogMel:
    extractor.save_pretrained(tmp_path)
    return LogMel(tmp_path)


def noise(num_samples: int, level: float = 0.1) -> np.ndarray:
    return (level * np.random.default_rng(num_samples).standard_normal(num_samples)).astype(np.float32)


def tone(num_samples: int) -> np.ndarray:
    return np.sin(2 * np.pi * 440 / RATE * np.arange(num_samples)).astype(np.float32)


CLIPS = {
    "noise": noise(48_123),
    "faint noise": noise(20_000, 1e-5),  # its clamp lies below the floor of the padding
    "tone": tone(31_999),
    "silence": np.zeros(16_000, np.float32),
    "speech-like, silence first": np.concatenate([np.zeros(8000, np.float32), noise(9000)]),
    "one sample": noise(1),
    "0.05 s": noise(800),
    "29.99 s": noise(479_840),
    "30 s less a sample": noise(479_999),
    "30 s": noise(480_000),
}


@pytest.mark.parametrize("clip", CLIPS.values(), ids=CLIPS.keys())
def test_padded_again_they_equal_whispers_own(extractor: WhisperFeatureExtractor, log_mel: LogMel,
                                              clip: np.ndarray) -> None:
    """Both are float32 transforms of other lengths: rounding differs, by some 1e-6 of values between -1.5 and 1.5."""
    theirs = extractor(clip, sampling_rate=RATE, return_tensors="np").input_features[0].T
    feats = log_mel(clip)
    assert feats.dtype == np.float32
    assert feats.shape == (log_mel.num_frames(len(clip)), extractor.feature_size)
    assert np.abs(pad_frames(feats, WINDOW) - theirs).max() < 1e-4


def test_num_frames_never_exceeds_the_window(log_mel: LogMel) -> None:
    assert [log_mel.num_frames(n) for n in (1, 120, 121, 16_000, 479_700, 480_000)] == [2, 2, 3, 102, 3000, 3000]


def test_no_frame_that_hears_the_signal_is_dropped(log_mel: LogMel) -> None:
    """A click at the very end still shows in the last frame kept."""
    clip = np.zeros(16_000, np.float32)
    clip[-60:] = 1.0
    feats = log_mel(clip)
    assert feats[-1].max() > silence_level(feats)


def test_padding_adds_nothing_to_features_that_are_long_enough() -> None:
    feats = np.random.default_rng(0).random((7, 80), np.float32)
    assert np.array_equal(pad_frames(feats, 7), feats)
    assert np.array_equal(pad_frames(feats, 5), feats)
    assert pad_frames(feats, 9).shape == (9, 80)


@pytest.mark.parametrize("num_samples", [0, 480_001])
def test_empty_and_overlong_clips_are_refused(log_mel: LogMel, num_samples: int) -> None:
    with pytest.raises(ValueError, match=f"^{num_samples} samples; Whisper takes 1 to 480000"):
        log_mel(np.zeros(num_samples, np.float32))


def test_a_directory_without_extractor_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"preprocessor_config\.json") as caught:
        LogMel(tmp_path)
    assert str(tmp_path) in str(caught.value)
