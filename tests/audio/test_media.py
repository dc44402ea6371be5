"""Recordings for transcribing: the container's times and tracks, damaged packets, long files."""

from __future__ import annotations

import io
import tracemalloc
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile

from utils.audio.loading import load_audio
from utils.audio.media import Media, read_media
from utils.errors import UserError

RATE = 16_000


def tone(seconds: float, pitch: float = 300) -> np.ndarray:
    return (np.sin(np.arange(round(seconds * RATE)) * pitch * 2 * np.pi / RATE) / 4).astype(np.float32)


def read(path: Path, **options: Any) -> Media:
    with path.open("rb") as stream:
        return read_media(stream, str(path), **options)


def sounding(audio: np.ndarray) -> list[tuple[float, float]]:
    """Where sound begins and ends (seconds), in tenths."""
    loud = np.abs(audio[:len(audio) // 1600 * 1600]).reshape(-1, 1600).max(1) > 0.05
    edges = np.flatnonzero(np.diff(np.concatenate([[0], loud, [0]])))
    return [(start / 10, end / 10) for start, end in zip(edges[::2], edges[1::2], strict=True)]


def mux(path: Path, *tracks: list[tuple[float, np.ndarray]], languages: tuple[str, ...] = (), default: int = 0) -> Path:
    """A Matroska file whose audio tracks have sounds at given times (seconds), and a picture track from 0 on."""
    with av.open(str(path), "w", format="matroska") as container:
        picture = container.add_stream("mpeg4", rate=1)
        picture.width = picture.height = 16
        streams = [container.add_stream("pcm_s16le", rate=RATE, layout="mono") for _ in tracks]
        for number, (stream, language) in enumerate(zip(streams, languages, strict=False)):
            stream.metadata["language"] = language
            stream.disposition = av.stream.Disposition.default if number == default else av.stream.Disposition(0)
        for second in range(3):
            frame = av.VideoFrame(16, 16, "yuv420p")
            frame.pts, frame.time_base = second, Fraction(1, 1)
            container.mux(picture.encode(frame))
        container.mux(picture.encode(None))
        for stream, sounds in zip(streams, tracks, strict=True):
            for start, samples in sounds:
                for first in range(0, len(samples), 1600):
                    values = (samples[None, first:first + 1600] * 32767).astype(np.int16)
                    part = av.AudioFrame.from_ndarray(values, "s16", "mono")
                    part.rate, part.pts, part.time_base = RATE, round(start * RATE) + first, Fraction(1, RATE)
                    container.mux(stream.encode(part))
            container.mux(stream.encode(None))
    return path


def test_a_track_that_starts_late_and_pauses_has_silence_there(tmp_path: Path) -> None:
    path = mux(tmp_path / "a.mkv", [(1.0, tone(1)), (4.0, tone(0.5))])
    assert sounding(read(path).audio) == [(1.0, 2.0), (4.0, 4.5)]


def test_the_default_track_is_read_and_named_and_others_can_be(tmp_path: Path) -> None:
    path = mux(tmp_path / "a.mkv", [(0, tone(1, 300))], [(0, tone(2, 900))], languages=("fra", "eng"), default=1)
    default = read(path)
    assert len(default.audio) / RATE == 2 and default.notes() == ["audio track 2 of 2 (eng)"]
    assert len(read(path, track=1).audio) / RATE == 1
    with pytest.raises(UserError, match="--track 3: it has 2 audio tracks"):
        read(path, track=3)


@pytest.mark.parametrize(("name", "rate"), [("a.wav", 16_000), ("a.wav", 44_100), ("a.flac", 8000), ("a.mp3", 48_000)])
def test_what_is_whole_is_read_as_for_training(tmp_path: Path, name: str, rate: int) -> None:
    noise = np.random.default_rng(0).standard_normal((3 * rate, 2)) * 0.1
    soundfile.write(tmp_path / name, noise, rate)
    strict, media = load_audio(str(tmp_path / name)), read(tmp_path / name)
    assert media.notes() == [] and abs(len(strict) - len(media.audio)) <= 2
    both = min(len(strict), len(media.audio))
    assert np.abs(strict[:both] - media.audio[:both]).max() < 2e-3


def test_a_damaged_packet_is_silence_and_said(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    soundfile.write(path, np.random.default_rng(0).standard_normal(10 * RATE) * 0.1, RATE)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle:middle + 3000] = bytes(3000)
    path.write_bytes(data)
    media = read(path)
    assert len(media.audio) / RATE == pytest.approx(10, abs=0.6)
    with pytest.raises(UserError, match="damaged"):
        load_audio(str(path))


def test_a_wrong_size_is_a_note(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(2), RATE, subtype="PCM_16")
    data = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "two.wav").write_bytes(data + data)
    (tmp_path / "cut.wav").write_bytes(data[:RATE])
    assert "its header counts fewer samples than it holds" in read(tmp_path / "two.wav").notes()[0]
    cut = read(tmp_path / "cut.wav")
    assert len(cut.audio) / RATE == pytest.approx(0.5, abs=0.01) and "is cut off" in cut.notes()[0]


def test_memory_is_that_of_the_samples(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    soundfile.write(path, np.tile(tone(1)[:, None], (600, 2)), RATE)
    tracemalloc.start()
    try:
        media = read(path)
        assert tracemalloc.get_traced_memory()[1] < 1.5 * media.audio.nbytes
    finally:
        tracemalloc.stop()


def test_what_is_no_audio_or_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is damaged, or no audio"):
        read_media(io.BytesIO(b"hello " * 99), "a.txt")
    soundfile.write(tmp_path / "a.wav", tone(5), RATE)
    with pytest.raises(UserError, match=r"is longer than 2 s. Cut it into parts"):
        read(tmp_path / "a.wav", max_seconds=2)


def test_reading_can_be_stopped(tmp_path: Path) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    soundfile.write(tmp_path / "a.wav", tone(5), RATE)
    with pytest.raises(KeyboardInterrupt):
        read(tmp_path / "a.wav", on_packet=stop)


def test_channels_can_be_kept_apart(tmp_path: Path) -> None:
    left, right = tone(1.0, 300), tone(1.0, 700) * 0.5
    soundfile.write(tmp_path / "call.wav", np.stack([left, right], 1), 16_000, subtype="FLOAT")
    media = read(tmp_path / "call.wav", split=True)
    assert [len(channel) for channel in media.channels] == [16_000, 16_000]
    assert np.abs(media.channels[0] - left).max() < 1e-4 and np.abs(media.channels[1] - right).max() < 1e-4
    assert len(read(tmp_path / "call.wav").channels) == 1
    soundfile.write(tmp_path / "mono.wav", left, 16_000)
    assert len(read(tmp_path / "mono.wav", split=True).channels) == 1
