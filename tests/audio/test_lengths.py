"""A length is what decodes, not what a header promises; what belongs to nothing is named."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING, cast

import av
import numpy as np
import pytest
import soundfile

from utils.audio.loading import audio_seconds, load_audio
from utils.errors import UserError

if TYPE_CHECKING:
    from av.audio.stream import AudioStream

RATE = 16_000


def speech(seconds: float, seed: int = 0) -> np.ndarray:
    """Noise whose level rises and falls, so that a bit rate varies."""
    noise = np.random.default_rng(seed).standard_normal(int(seconds * RATE))
    return (noise * 0.1 * np.sin(np.linspace(0, 9, len(noise))) ** 2).astype(np.float32)


def encode(path: Path, codec: str, samples: np.ndarray, rate: int = 48_000, **options: str) -> Path:
    """An audio file written by FFmpeg; Ogg Vorbis by libsndfile."""
    if codec == "vorbis":
        soundfile.write(path, samples, RATE)
        return path
    with av.open(str(path), "w", options=options) as container:
        stream = cast("AudioStream", container.add_stream(codec, rate=rate, layout="mono"))
        resampler = av.AudioResampler(stream.format.name, "mono", rate, stream.frame_size or None)
        frame = av.AudioFrame.from_ndarray((samples[None] * 32767).astype(np.int16), "s16", "mono")
        frame.rate = RATE
        for part in [*resampler.resample(frame), *resampler.resample(None), None]:
            container.mux(stream.encode(part))
    return path


def joined(path: Path, *parts: Path) -> Path:
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


@pytest.mark.parametrize(("name", "codec"), [("a.mp3", "libmp3lame"), ("a.aac", "aac"), ("a.opus", "libopus"),
                                             ("a.ogg", "vorbis")])
def test_joined_files_have_the_length_of_all_their_parts(tmp_path: Path, name: str, codec: str) -> None:
    parts = [encode(tmp_path / f"{seconds}{name}", codec, speech(seconds)) for seconds in (2.0, 3.0)]
    alone = [load_audio(str(part)) for part in parts]
    whole = str(joined(tmp_path / name, *parts))
    assert audio_seconds(whole) == pytest.approx(5.0, abs=0.1)
    samples = load_audio(whole)
    assert len(samples) / RATE == pytest.approx(audio_seconds(whole), abs=0.05)
    ends = samples[-RATE:], alone[1][-RATE:]
    assert max(np.correlate(*ends, "full")) > 0.7 * np.linalg.norm(ends[0]) * np.linalg.norm(ends[1])


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("loud_first", [True, False])
def test_an_mp3_of_variable_rate_is_counted_with_and_without_a_header(tmp_path: Path, header: bool,
                                                                      loud_first: bool) -> None:
    level = np.repeat([1.0, 0.001] if loud_first else [0.001, 1.0], 6 * RATE)
    noise = np.random.default_rng(1).standard_normal(12 * RATE) * level * 0.1
    path = encode(tmp_path / "a.mp3", "libmp3lame", noise.astype(np.float32), RATE, write_xing=str(int(header)))
    assert audio_seconds(str(path)) == pytest.approx(12, abs=0.15)
    assert len(load_audio(str(path))) / RATE == pytest.approx(audio_seconds(str(path)), abs=0.01)


@pytest.mark.parametrize("frames", [10, 10_000])
def test_a_wrong_count_of_frames_in_an_mp3_changes_nothing(tmp_path: Path, frames: int) -> None:
    path = encode(tmp_path / "a.mp3", "libmp3lame", speech(3))
    data = bytearray(path.read_bytes())
    place = max(data.find(b"Xing"), data.find(b"Info")) + 8
    data[place:place + 4] = struct.pack(">I", frames)
    path.write_bytes(data)
    assert audio_seconds(str(path)) == pytest.approx(3, abs=0.05)
    assert len(load_audio(str(path))) / RATE == pytest.approx(3, abs=0.05)


def test_a_cut_mp3_is_refused_before_and_while_decoding(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp3", "libmp3lame", speech(3))
    path.write_bytes(path.read_bytes()[:-6000])
    for read in (audio_seconds, load_audio):
        with pytest.raises(UserError, match="is cut off: its header announces"):
            read(str(path))


def test_thirty_seconds_of_mp3_fit_into_the_window(tmp_path: Path) -> None:
    assert audio_seconds(str(encode(tmp_path / "a.mp3", "libmp3lame", speech(30)))) <= 30.0001


@pytest.mark.parametrize("name", ["a.wav", "a.aiff", "a.au"])
def test_bytes_after_the_samples_that_belong_to_nothing_are_named(tmp_path: Path, name: str) -> None:
    soundfile.write(tmp_path / name, speech(1), RATE, subtype="PCM_16")
    whole = joined(tmp_path / f"two-{name}", tmp_path / name, tmp_path / name)
    for read in (audio_seconds, load_audio):
        assert read(str(tmp_path / name)) is not None
        with pytest.raises(UserError, match=r"bytes after its samples belong to nothing: its header counts fewer"):
            read(str(whole))


def test_a_wav_whose_data_size_is_too_small_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, speech(4), RATE, subtype="PCM_16")
    data = bytearray(path.read_bytes())
    data[40:44] = struct.pack("<I", 2 * RATE)
    path.write_bytes(data)
    with pytest.raises(UserError, match=f"{6 * RATE} bytes after its samples"):
        audio_seconds(str(path))


@pytest.mark.parametrize("tail", [b"LIST\x04\x00\x00\x00INFO", b"id3 \x02\x00\x00\x00ab", b"TAG" + bytes(125),
                                  bytes(900), b"bext\x03\x00\x00\x00abc\x00LIST\x04\x00\x00\x00INFO", b"\x07" * 50])
def test_chunks_tags_and_padding_after_the_samples_are_usual(tmp_path: Path, tail: bytes) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, speech(1), RATE, subtype="PCM_16")
    path.write_bytes(path.read_bytes() + tail)
    assert audio_seconds(str(path)) == 1 == len(load_audio(str(path))) / RATE


def test_joined_flac_and_mp4_files_are_named(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.flac", speech(1), RATE)
    encode(tmp_path / "a.m4a", "aac", speech(1))
    for name, complaint in (("a.flac", "holds another flac file"), ("a.m4a", "belong to nothing")):
        whole = joined(tmp_path / f"two-{name}", tmp_path / name, tmp_path / name)
        with pytest.raises(UserError, match=complaint):
            load_audio(str(whole))


@pytest.mark.parametrize("content", [b"\xff", b"FORM", b".snd12", b"ID3", b"RIFF", b"fLaC", b"OggS", b"1234ftyp"])
def test_a_few_bytes_are_no_audio_and_no_traceback(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.wav").write_bytes(content)
    for read in (audio_seconds, load_audio):
        with pytest.raises(UserError, match=r"a\.wav: "):
            read(str(tmp_path / "a.wav"))


def test_channels_that_cancel_each_other_give_the_loudest(tmp_path: Path) -> None:
    said = speech(1)
    for channels in ([said, -said], [said, -0.95 * said], [said, said]):
        soundfile.write(tmp_path / "a.wav", np.stack(channels, 1), RATE, subtype="FLOAT")
        assert np.array_equal(load_audio(str(tmp_path / "a.wav")), said)
    soundfile.write(tmp_path / "a.wav", np.stack([said, 0 * said], 1), RATE, subtype="FLOAT")
    assert np.array_equal(load_audio(str(tmp_path / "a.wav")), said / 2)


def test_integers_that_were_written_as_floats_are_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", speech(1) * 32768, RATE, subtype="FLOAT")
    with pytest.raises(UserError, match=r"far beyond full scale, which is 1\.0 in floats"):
        load_audio(str(tmp_path / "a.wav"))
