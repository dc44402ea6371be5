"""Telephone speech: 8 kHz, the band of a line, and a codec."""

from __future__ import annotations

import io
from dataclasses import dataclass, field

import numpy as np

from utils.audio.constants import SAMPLE_RATE
from utils.audio.loading import read_audio
from utils.augment.draws import SampleAugmentation
from utils.errors import UserError

_LINE_RATE = 8000
_BAND = (300.0, 3400.0)  # Hz, ITU-T G.712
# Name: FFmpeg's encoder, container and bits a second. FFmpeg decodes GSM but does not encode it; AMR is its successor.
_CODECS = {"mulaw": ("pcm_mulaw", "wav", 64_000), "alaw": ("pcm_alaw", "wav", 64_000),
           "g726": ("g726", "wav", 32_000), "amr": ("libopencore_amrnb", "amr", 12_200),
           "opus": ("libopus", "ogg", 12_000)}


@dataclass(frozen=True)
class Telephone(SampleAugmentation):
    """Sends a window over a telephone line.

    Attributes:
        codecs: one of these is drawn: mulaw, alaw, g726, amr, opus.
    """

    share: float = 0.2
    codecs: list[str] = field(default_factory=lambda: ["mulaw", "alaw", "amr"])

    def check(self, name: str) -> None:
        super().check(name)
        if not self.codecs or (unknown := set(self.codecs) - _CODECS.keys()):
            wrong = ", ".join(sorted(unknown)) if self.codecs else "none"
            raise UserError(f"{name}.codecs: {wrong}; there are {', '.join(_CODECS)}")

    def __call__(self, samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        import soxr

        line = _in_band(soxr.resample(samples, SAMPLE_RATE, _LINE_RATE))
        heard = _through(line, self.codecs[int(rng.integers(len(self.codecs)))])[:len(samples)]
        return np.pad(heard, (0, len(samples) - len(heard)))


def _in_band(samples: np.ndarray) -> np.ndarray:
    spectrum = np.fft.rfft(samples)
    frequencies = np.fft.rfftfreq(len(samples), 1 / _LINE_RATE)
    spectrum[(frequencies < _BAND[0]) | (frequencies > _BAND[1])] = 0
    return np.fft.irfft(spectrum, len(samples))


def _through(line: np.ndarray, codec: str) -> np.ndarray:
    """Samples at 8 kHz, encoded and decoded: (num_samples,) float32 at 16 kHz."""
    import av

    encoder, container, bits = _CODECS[codec]
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        track = output.add_stream(encoder, rate=_LINE_RATE)
        assert isinstance(track, av.AudioStream)  # as the codecs are
        track.layout, track.bit_rate = "mono", bits
        whole = np.round(np.clip(line, -1, 1) * 32767).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(whole, format="s16", layout="mono")
        frame.sample_rate = _LINE_RATE
        output.mux([*track.encode(frame), *track.encode(None)])
    file.seek(0)
    return read_audio(file, codec)
