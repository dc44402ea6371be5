"""A microphone's stream of any format is cut into utterances at pauses."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile
from made_speech import silence, speak

from utils.errors import UserError
from utils.transcribe.stream import cut_at_pauses, read_blocks

TALK = np.concatenate([silence(2), speak(2), silence(1.5), speak(3, 2), silence(0.1)])


class Pipe(io.RawIOBase):
    """A stream of bytes without seeking."""

    def __init__(self, data: bytes) -> None:
        self.rest = io.BytesIO(data)

    def read(self, size: int = -1) -> bytes:
        return self.rest.read(size)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False


def raw(samples: np.ndarray) -> bytes:
    return (samples * 32767).astype("<i2").tobytes()


def encoded(samples: np.ndarray, kind: str, rate: int = 16_000) -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, samples, rate, format=kind)
    return stream.getvalue()


@pytest.mark.parametrize(("data", "is_raw"), [
    (raw(TALK), True), (encoded(TALK, "wav"), False), (encoded(np.stack([TALK, TALK], 1), "flac"), False)],
    ids=["raw", "wav", "flac"])
def test_samples_arrive_in_small_blocks(data: bytes, is_raw: bool) -> None:
    blocks = list(read_blocks(Pipe(data), is_raw))
    assert all(len(block) <= 16_000 for block in blocks)
    samples = np.concatenate(blocks)
    assert len(samples) == pytest.approx(len(TALK), abs=800)
    assert np.abs(samples[:len(TALK) - 800] - TALK[:len(TALK) - 800]).max() < 2e-3


def test_a_wav_that_does_not_know_its_length_is_read_on() -> None:
    """arecord and sox write such headers into a pipe."""
    data = bytearray(encoded(TALK, "wav"))
    data[4:8] = data[40:44] = (0x7FFFF000).to_bytes(4, "little")
    assert sum(map(len, read_blocks(Pipe(bytes(data)), raw=False))) == pytest.approx(len(TALK), abs=800)


def test_noise_without_a_header_is_refused_with_the_remedy() -> None:
    with pytest.raises(UserError, match=r"standard input: no audio .* --raw true"):
        list(read_blocks(Pipe(b"this is no audio at all, but text " * 99), raw=False))


def test_utterances_come_out_at_pauses() -> None:
    pieces = list(cut_at_pauses(np.split(TALK, range(8_000, len(TALK), 8_000))))
    assert len(pieces) == 2
    ends = [start + len(audio) / 16_000 for start, audio in pieces]
    assert 4.0 <= ends[0] <= pieces[1][0] <= 5.5
    assert ends[1] == pytest.approx(len(TALK) / 16_000)


def test_who_never_stops_is_cut_and_silence_is_nothing() -> None:
    endless = np.concatenate([speak(5, seed) for seed in range(8)])
    pieces = list(cut_at_pauses(np.split(endless, range(8_000, len(endless), 8_000))))
    assert len(pieces) > 1 and all(len(audio) <= 30 * 16_000 for _, audio in pieces)
    assert sum(len(audio) for _, audio in pieces) == pytest.approx(len(endless), abs=16_000)
    assert list(cut_at_pauses([silence(1)] * 40)) == []
