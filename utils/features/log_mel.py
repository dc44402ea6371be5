"""Log-mel features as Whisper's feature extractor defines them, but without padding to 30 s.

Whisper computes ``f = (max(log10 mel, M - 8) + 4) / 4`` over a clip padded with zeros to 30 s, where ``M`` is the
clip's maximum (Radford et al. 2022, arXiv:2212.04356, section 2.2; `whisper/audio.py`). Frames that see only padding
hold log10 of the floor 1e-10, so after the clamp they are the constant ``silence_level``. Keeping just the frames that
see the end of the signal loses nothing: :func:`pad_frames` restores the 30-s features exactly.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from transformers import WhisperFeatureExtractor

from utils.errors import UserError

DIGITAL_SILENCE = (-10.0 + 4.0) / 4.0  # log10(1e-10), normalised: the value of digital silence
_DYNAMIC_RANGE = 8.0 / 4.0  # Whisper's clamp at 8 decades below the maximum, normalised


class LogMel:
    """Computes log-mel features from samples.

    Args:
        model_dir: a Whisper directory, whose preprocessor_config.json gives 80 or 128 mels.
        num_mels: used if that file is missing, as in early CTranslate2 directories; None: the file is required.

    Raises:
        UserError: the directory has no preprocessor_config.json.
    """

    def __init__(self, model_dir: str | Path, num_mels: int | None = None) -> None:
        try:
            if num_mels is not None and not (Path(model_dir) / "preprocessor_config.json").exists():
                extractor = WhisperFeatureExtractor(feature_size=num_mels)
            else:
                extractor = WhisperFeatureExtractor.from_pretrained(model_dir, local_files_only=True)
        except (OSError, ValueError) as error:
            raise UserError(f"{model_dir}: no Whisper preprocessor_config.json there: {error}") from None
        self.sampling_rate: int = extractor.sampling_rate
        self.num_mels: int = extractor.feature_size
        self.max_samples: int = extractor.n_samples
        self._n_fft: int = extractor.n_fft
        self._hop: int = extractor.hop_length
        self._filters = torch.from_numpy(np.asarray(extractor.mel_filters, dtype=np.float32)).T.contiguous()
        self._window = torch.hann_window(self._n_fft)

    def num_frames(self, num_samples: int) -> int:
        """Return how many frames (10 ms) have one of ``num_samples`` samples in their centred analysis window."""
        seen = -(-(num_samples + self._n_fft // 2) // self._hop)
        return min(seen, self.max_samples // self._hop)

    def __call__(self, samples: np.ndarray) -> np.ndarray:
        """Features of one clip.

        Args:
            samples: (num_samples,) float32 at 16 kHz, at most 30 s.

        Returns:
            (num_frames, num_mels) float32.

        Raises:
            ValueError: the clip is empty or longer than 30 s.
        """
        if not 0 < len(samples) <= self.max_samples:
            raise ValueError(f"{len(samples)} samples; Whisper takes 1 to {self.max_samples}")
        # One window of zeros replaces the rest of the 30 s: the windows of the frames kept reach no further.
        length = min(len(samples) + self._n_fft, self.max_samples)
        signal = torch.zeros(max(length, self._n_fft))
        signal[: len(samples)] = torch.from_numpy(np.ascontiguousarray(samples, dtype=np.float32))
        spectrum = torch.stft(signal, self._n_fft, self._hop, window=self._window, return_complex=True)
        power = spectrum[:, : self.num_frames(len(samples))].abs() ** 2
        log_mel = (self._filters @ power).clamp(min=1e-10).log10()
        log_mel = torch.maximum(log_mel, log_mel.max() - 8.0)
        return ((log_mel + 4.0) / 4.0).T.contiguous().numpy()


def silence_level(feats: np.ndarray) -> float:
    """Return the value of padding frames in Whisper's features of the clip ``feats`` (frames, num_mels)."""
    return max(float(feats.max()) - _DYNAMIC_RANGE, DIGITAL_SILENCE)


def pad_frames(feats: np.ndarray, num_frames: int) -> np.ndarray:
    """Append silence to ``feats`` (frames, num_mels) up to ``num_frames``; a longer matrix is returned unchanged."""
    missing = num_frames - len(feats)
    return np.pad(feats, ((0, missing), (0, 0)), constant_values=silence_level(feats)) if missing > 0 else feats
