"""Audio: all formats are read as the same 16 kHz mono signal, and errors name the broken file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from utils.audio.constants import SAMPLE_RATE
from utils.audio.loading import audio_seconds, load_audio
from utils.errors import UserError

MakeWav = Callable[..., Path]


def tone(seconds: float, loudness: float = 0.4) -> np.ndarray:
    """What make_wav writes, at 16 kHz."""
    return loudness * np.sin(2 * np.pi * 440 * np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE)


def encode(path: Path, codec: str, samples: np.ndarray, rate: int = SAMPLE_RATE) -> Path:
    """Write mono ``samples`` at 16 kHz with one of FFmpeg's encoders."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout="mono")
        to_input = av.AudioResampler(format=stream.format.name, layout="mono", rate=rate)
        frame = av.AudioFrame.from_ndarray(samples[None].astype(np.float32), format="fltp", layout="mono")
        frame.sample_rate = SAMPLE_RATE
        for part in (*to_input.resample(frame), *to_input.resample(None)):
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return path


def assert_is_tone(samples: np.ndarray, seconds: float, loudness: float = 0.4,
                   tolerance: float = 0.02) -> None:
    assert samples.dtype == np.float32
    assert samples.ndim == 1
    assert abs(len(samples) - seconds * SAMPLE_RATE) <= 0.05 * SAMPLE_RATE
    middle = samples[2000:-2000].astype(float)  # codecs need a moment; their delay shifts the phase
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    assert abs(np.argmax(spectrum) * SAMPLE_RATE / len(middle) - 440) < 5
    assert np.sqrt(2 * np.mean(middle**2)) == pytest.approx(loudness, abs=tolerance)


@pytest.mark.parametrize(("name", "rate", "channels", "subtype"), [
    ("a.wav", 16_000, 1, "PCM_16"), ("a.wav", 44_100, 2, "PCM_24"), ("a.wav", 8_000, 1, "ULAW"),
    ("a.wav", 48_000, 3, "FLOAT"), ("a.wav", 22_050, 1, "PCM_U8"), ("a.flac", 96_000, 2, "PCM_24"),
    ("a.mp3", 44_100, 2, None), ("a.ogg", 44_100, 1, "VORBIS"), ("a.ogg", 48_000, 1, "OPUS"),
])
def test_any_rate_channel_count_and_depth(make_wav: MakeWav, name: str, rate: int, channels: int,
                                          subtype: str | None) -> None:
    path = str(make_wav(name, 0.7, rate, channels, subtype))
    average = np.mean([0.4 / (channel + 1) for channel in range(channels)])
    assert_is_tone(load_audio(path), 0.7, average)
    assert audio_seconds(path) == pytest.approx(0.7, abs=0.03)


@pytest.mark.parametrize(("name", "codec", "rate"), [
    ("a.m4a", "aac", 44_100), ("a.g722", "g722", 16_000), ("a.opus", "libopus", 48_000),
    ("a.webm", "libopus", 48_000), ("a.mkv", "pcm_u8", 16_000), ("a.mkv", "pcm_s24le", 16_000),
    ("a.mkv", "pcm_f64le", 44_100),
])
def test_formats_that_ffmpeg_writes(tmp_path: Path, name: str, codec: str, rate: int) -> None:
    path = str(encode(tmp_path / name, codec, tone(0.7), rate))
    assert_is_tone(load_audio(path), 0.7, tolerance=0.05)
    assert audio_seconds(path) == pytest.approx(0.7, abs=0.05)


def test_sixteen_kilohertz_wav_is_exact(make_wav: MakeWav) -> None:
    np.testing.assert_allclose(load_audio(str(make_wav("a.wav", 0.3))), tone(0.3), atol=1 / 32768)


def test_the_content_decides_and_not_the_name(make_wav: MakeWav) -> None:
    for wrong in ("a.mp3", "a.g722", "noending"):
        path = make_wav("a.wav")
        assert_is_tone(load_audio(str(path.rename(path.with_name(wrong)))), 0.5)


def test_g722_duration_is_eight_thousand_bytes_a_second(tmp_path: Path) -> None:
    path = tmp_path / "a.G722"
    path.write_bytes(bytes(12_000))
    assert audio_seconds(str(path)) == 1.5
    assert len(load_audio(str(path))) == 24_000


@pytest.mark.parametrize("size", [0, 0x7FFFF000, 0xFFFFFFFF])
def test_streamed_wav_of_unknown_length(make_wav: MakeWav, size: int) -> None:
    path = make_wav("a.wav")
    content = bytearray(path.read_bytes())
    place = content.index(b"data") + 4
    content[place:place + 4] = size.to_bytes(4, "little")
    path.write_bytes(content)
    assert audio_seconds(str(path)) == pytest.approx(0.5)
    assert_is_tone(load_audio(str(path)), 0.5)


def test_streamed_flac_of_unknown_length(make_wav: MakeWav) -> None:
    path = make_wav("a.flac")
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0  # the 36 bits of STREAMINFO's total samples
    content[22:26] = bytes(4)
    path.write_bytes(content)
    assert audio_seconds(str(path)) == pytest.approx(0.5)
    assert_is_tone(load_audio(str(path)), 0.5)


def test_a_header_that_promises_a_little_too_much_is_forgiven(make_wav: MakeWav) -> None:
    path = make_wav("a.wav")
    path.write_bytes(path.read_bytes()[:-200])
    assert len(load_audio(str(path))) == 8000 - 100
    assert audio_seconds(str(path)) == pytest.approx(0.5 - 100 / 16_000)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.mp3", "a.ogg"])
def test_cut_files_are_refused(make_wav: MakeWav, name: str) -> None:
    path = make_wav(name, 2.0)
    path.write_bytes(path.read_bytes()[:path.stat().st_size * 6 // 10])
    with pytest.raises(UserError, match=r"cut off|damaged") as caught:
        load_audio(str(path))
    assert str(path) in str(caught.value)


def test_a_cut_wav_is_noticed_without_decoding(make_wav: MakeWav) -> None:
    path = make_wav("a.wav", 2.0)
    path.write_bytes(path.read_bytes()[:-32_000])
    with pytest.raises(UserError, match=r"announces 1\.00 s more"):
        audio_seconds(str(path))


@pytest.mark.parametrize("read", [load_audio, audio_seconds])
@pytest.mark.parametrize(("content", "complaint"), [
    (None, "does not exist"), (b"", r"empty \(0 bytes\)"),
    (b"this is a text, not audio\n" * 40, "no audio that"),
])
def test_files_that_are_no_audio(tmp_path: Path, read: Callable[[str], object], content: bytes | None,
                                 complaint: str) -> None:
    path = tmp_path / "my audio.wav"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=complaint) as caught:
        read(str(path))
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize("source", ["{dir}", "x" * 300])
def test_names_that_cannot_be_opened(tmp_path: Path, source: str) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        load_audio(source.format(dir=tmp_path))


def test_audio_without_samples(tmp_path: Path) -> None:
    path = str(tmp_path / "a.wav")
    soundfile.write(path, np.zeros((0, 1)), 16_000)
    for read in (load_audio, audio_seconds):
        with pytest.raises(UserError, match="no samples"):
            read(path)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300, 3e38])
def test_samples_that_are_no_numbers_or_beyond_any_scale(tmp_path: Path, value: float) -> None:
    """The last value would overflow in resampling only, and give features with NaN."""
    path = str(tmp_path / "a.wav")
    soundfile.write(path, np.array([[0, 0], [value, value], [0.1, 0.1]]), 22_050, subtype="DOUBLE")
    with pytest.raises(UserError, match="NaN, infinite or far beyond full scale"):
        load_audio(path)


def patched(path: Path, place: int, content: bytes) -> str:
    """The file with some of its bytes written over."""
    old = path.read_bytes()
    path.write_bytes(old[:place] + content + old[place + len(content):])
    return str(path)


@pytest.mark.parametrize(("place", "value", "size", "complaint"), [
    (34, 0, 2, "in a codec that FFmpeg does not support"),  # bits a sample: PyAV crashed the process
    (20, 99, 2, "in a codec that FFmpeg does not support"),  # the codec's number
    (22, 65_535, 2, "no audio that"),  # channels
    (24, 1, 4, "sampling rate of 1 Hz"),  # 8000 samples would have become 128 million
    (24, 2**32 - 1, 4, "no audio that"),
])
def test_headers_that_lie(make_wav: MakeWav, place: int, value: int, size: int, complaint: str) -> None:
    path = patched(make_wav("a.wav"), place, value.to_bytes(size, "little"))
    with pytest.raises(UserError, match=complaint):
        load_audio(path)


def test_memory_is_taken_for_what_is_there_and_not_for_what_a_header_promises(make_wav: MakeWav) -> None:
    path = patched(make_wav("a.flac"), 21, bytes([0xFF, 0xFF, 0xFF, 0xFF, 0xFF]))  # 68 billion samples
    with pytest.raises(UserError, match="cut off"):
        load_audio(path)


@pytest.mark.parametrize("playlist", [
    "ffconcat version 1.0\nfile secret.wav\n",
    "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{}/secret.wav\n#EXT-X-ENDLIST\n",
    "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:{}/secret.wav\n#EXT-X-ENDLIST\n",
])
def test_a_playlist_opens_nothing_else(make_wav: MakeWav, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                       playlist: str) -> None:
    """FFmpeg would read the file it names, or ask the host."""
    make_wav("secret.wav")
    monkeypatch.chdir(tmp_path)
    Path("a.wav").write_text(playlist.format(tmp_path), encoding="utf-8")
    for read in (load_audio, audio_seconds):
        with pytest.raises(UserError, match="no audio that"):
            read("a.wav")


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    for source in (tmp_path, tmp_path / "pipe.wav", "/dev/zero"):
        with pytest.raises(UserError, match="a directory, a pipe or a device"):
            load_audio(str(source))


def test_commands_run_only_when_allowed(make_wav: MakeWav, tmp_path: Path) -> None:
    path, witness = make_wav("with space.flac"), tmp_path / "witness"
    command = f"touch '{witness}'; cat '{path}' |"
    with pytest.raises(UserError, match="--allow-pipes true"):
        load_audio(command)
    assert not witness.exists()
    assert_is_tone(load_audio(command, allow_pipes=True), 0.5)
    assert witness.exists()
    assert audio_seconds(command, allow_pipes=True) == pytest.approx(0.5)


@pytest.mark.parametrize(("command", "complaint"), [
    ("cat /no/such/file | cat |", "No such file"), ("true |", "no output"), ("echo text |", "no audio that"),
])
def test_commands_that_fail(command: str, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        load_audio(command, allow_pipes=True)
