"""Reads audio files of any usual format as Whisper needs them: float32, mono, 16 kHz.

libsndfile reads the formats that it supports (wav, flac, mp3, ogg, opus, NIST, ...), FFmpeg (PyAV) the others
(m4a, webm). The format is detected from the content, not from the name: a wav named ``x.mp3`` is read as wav. Only
raw G.722, which has no header, is recognized by its name (``.g722``).

A file is refused as cut off if its header announces over 50 ms more than the file holds. Some encoders write headers
with a smaller error (two frames of mp3), which loses no speech. Lengths that mean "unknown" in streamed files (wav: 0,
0x7ffff000, 0xffffffff; flac: 0) are ignored.
"""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from utils.audio.constants import SAMPLE_RATE
from utils.audio.parts import cut_parts
from utils.audio.sources import open_source, part_seconds, part_source, split_part
from utils.errors import UserError

if TYPE_CHECKING:
    import soundfile
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer

_G722_BYTES_PER_SECOND = 8_000
_VALUES_PER_SECOND = 96_000  # 48 kHz stereo; audio with more values per second must be shorter
_TOLERATED_CUT = 0.05  # seconds
_UNKNOWN_BYTES = 0x7FFF0000  # a data size in a wav's header from here on means "unknown"
_UNKNOWN_FRAMES = 2**48
_LOUDEST = 2.0**31  # times full scale: 32-bit integers read as floats; below, the power spectrum stays finite
_LOWEST_RATE = 1000  # Hz; a lower rate is an error in the header, and resampling to 16 kHz would multiply the samples
_BLOCK = 1 << 22  # samples of all channels in one block
_SHORT_BLOCK = 1 << 16  # the same where parts are cut out
_EXACT_SEEKING = ("WAV", "WAVEX", "FLAC", "AIFF", "RF64", "W64")
# Without this, FFmpeg would open local files and addresses that a playlist (HLS, concat) names.
_FFMPEG_OPTIONS = {"protocol_whitelist": "none"}
_CONTAINER_MAGIC = (b"RIFF", b"RIFX", b"RF64", b"fLaC", b"OggS", b"ID3", b"FORM", b".snd", b"caff")


def load_audio(source: str, allow_pipes: bool = False) -> np.ndarray:
    """Return the samples of an audio file or a ``command |``: float32, shape (samples,), mono, 16 kHz, full scale 1.0.

    The channels are averaged.

    Args:
        source: a value of wav.scp: a path, or ``command |``, where the command writes an audio file to stdout; or a
            part of such a recording, ``path[start:end]``.
        allow_pipes: whether such a command may be run.

    Raises:
        UserError: the audio is missing, unreadable, empty, cut off or damaged, has samples that are NaN or too large,
            or the command is not allowed or fails.
    """
    if part := split_part(source):
        return next(load_parts(part[0], [part[1:]], allow_pipes))
    with open_source(source, allow_pipes) as stream:
        return read_audio(stream, source)


def load_parts(recording: str, spans: Sequence[tuple[float, float]], allow_pipes: bool = False) -> Iterator[np.ndarray]:
    """Yield the samples of parts of a recording, as :func:`load_audio` returns those of a file.

    The recording is read once, from the first part on, and not kept in memory.

    Args:
        spans: start and end of each part (seconds), ordered by start.

    Raises:
        UserError: as :func:`load_audio`, or a part is not in the recording.
    """
    with (open_source(recording, allow_pipes) as stream,
          _blocks(stream, recording, spans[0][0]) as (blocks, rate, position)):
        for (start, end), (first, samples) in zip(spans, cut_parts(blocks, rate, spans, position), strict=True):
            source = part_source(recording, start, end)
            part_seconds(source, start, end, recorded=(first + len(samples)) / rate)
            yield _speech_samples(samples, rate, source)


def read_audio(stream: BinaryIO, source: str, max_seconds: float = math.inf) -> np.ndarray:
    """Return the samples of an open audio file, with the format and the errors of :func:`load_audio`.

    Args:
        stream: the file; must be seekable.
        source: its name, for messages and to recognize raw G.722 (``.g722``).
        max_seconds: longer audio is refused before it fills the memory.
    """
    samples, rate = _decode(stream, source, max_seconds)
    return _speech_samples(_mono(samples), rate, source)


def _mono(samples: np.ndarray) -> np.ndarray:
    """(samples,) of (samples, channels)."""
    with np.errstate(over="ignore", invalid="ignore"):  # checked later
        return samples.mean(axis=1, dtype=np.float32)


def _speech_samples(mono: np.ndarray, rate: int, source: str) -> np.ndarray:
    """Samples (samples,) at 16 kHz; a UserError if there are none, or these cannot be speech."""
    import soxr

    if len(mono) and not np.abs(mono).max() < _LOUDEST:
        raise UserError(f"{source}: has samples that are NaN, infinite or far beyond full scale. Write the file again "
                        "from its source")
    if rate != SAMPLE_RATE:
        mono = soxr.resample(mono, rate, SAMPLE_RATE)
    if not len(mono):
        raise UserError(f"{source}: has no samples. Delete its lines from the lists or replace the file")
    return np.ascontiguousarray(mono, dtype=np.float32)


def audio_seconds(source: str, allow_pipes: bool = False) -> float:
    """Return the duration in seconds from the header, or by decoding if the header has none.

    Arguments and errors are those of :func:`load_audio`, but damage after the header is not detected.
    """
    if part := split_part(source):
        return part_seconds(source, *part[1:], audio_seconds(part[0], allow_pipes))
    with open_source(source, allow_pipes) as stream:
        seconds = _header_seconds(stream, source)
        if not seconds:
            samples, rate = _decode(stream, source)
            seconds = len(samples) / rate
    if not seconds:
        raise UserError(f"{source}: has no samples. Delete its lines from the lists or replace the file")
    return seconds


def _is_raw_g722(stream: BinaryIO, source: str) -> bool:
    head = stream.read(12)
    stream.seek(0)
    return source.lower().endswith(".g722") and not head.startswith(_CONTAINER_MAGIC) and head[4:8] != b"ftyp"


def _size(stream: BinaryIO) -> int:
    size = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    return size


def _refuse_cut(source: str, missing: float) -> None:
    """Raise a UserError if more than the tolerated part of the audio is missing, in seconds."""
    if missing > _TOLERATED_CUT:
        raise UserError(f"{source}: is cut off: its header announces {missing:.2f} s more than it holds. "
                        "Copy the file again")


def _refuse_rate(source: str, rate: int) -> None:
    if rate < _LOWEST_RATE:
        raise UserError(f"{source}: has a sampling rate of {rate} Hz. Write the file again from its source")


def _missing_from_wav(stream: BinaryIO) -> float:
    """Seconds of audio that a wav's header announces beyond the end of the file; 0 for other files.

    libsndfile and FFmpeg do not report this: they use the size of the file.
    """
    size, bytes_per_second, missing = _size(stream), 1, 0
    riff = stream.read(12)
    while riff[:4] == b"RIFF" and riff[8:] == b"WAVE" and len(header := stream.read(8)) == 8:
        name, length = struct.unpack("<4sI", header)
        start = stream.tell()
        if name == b"data":
            missing = max(0, length - (size - start)) if length < _UNKNOWN_BYTES else 0
            break
        if name == b"fmt ":
            bytes_per_second = int.from_bytes(stream.read(12)[8:], "little") or 1
        stream.seek(start + length + length % 2)  # chunks begin at even offsets
    stream.seek(0)
    return missing / bytes_per_second


def _open_sndfile(stream: BinaryIO, source: str) -> soundfile.SoundFile | None:
    """The file opened by libsndfile, or None if libsndfile does not support its format or finds no length.

    A UserError if its header is wrong.
    """
    import soundfile

    if _is_raw_g722(stream, source):
        return None
    _refuse_cut(source, _missing_from_wav(stream))
    try:
        sound = soundfile.SoundFile(stream)
    except soundfile.LibsndfileError:
        sound = None
    if sound is not None and 0 < sound.frames < _UNKNOWN_FRAMES:
        _refuse_rate(source, sound.samplerate)
        return sound
    stream.seek(0)
    return None


@contextmanager
def _ffmpeg(stream: BinaryIO, source: str) -> Iterator[tuple[InputContainer, AudioStream]]:
    """Yield the file opened by FFmpeg and its first audio track; FFmpeg's errors in the block become UserErrors."""
    import av

    format_name = "g722" if _is_raw_g722(stream, source) else None
    try:
        with av.open(stream, "r", format=format_name, options=_FFMPEG_OPTIONS) as container:
            if not container.streams.audio:
                raise UserError(f"{source}: has no audio track. Correct the path")
            if container.streams.audio[0].codec_context is None:  # PyAV would crash
                raise UserError(f"{source}: its audio is in a codec that FFmpeg does not support. Convert it to flac")
            _refuse_rate(source, container.streams.audio[0].rate)
            yield container, container.streams.audio[0]
    except av.FFmpegError as error:
        raise UserError(f"{source}: is damaged, or no audio that libsndfile or FFmpeg can read "
                        f"({error.strerror}). Replace or convert it; raw G.722 must be named .g722") from None


def _header_seconds(stream: BinaryIO, source: str) -> float | None:
    """Duration in seconds from the header; None or 0 if the header has none."""
    if _is_raw_g722(stream, source):
        return _size(stream) / _G722_BYTES_PER_SECOND
    if (sound := _open_sndfile(stream, source)) is not None:
        return sound.frames / sound.samplerate
    with _ffmpeg(stream, source) as (container, track):
        if track.duration is not None and track.time_base is not None:
            seconds: float | None = float(track.duration * track.time_base)
        else:
            seconds = container.duration / 1_000_000 if container.duration else None
    stream.seek(0)
    return seconds


def _refuse_long(source: str, n_values: int, n_frames: int, rate: int, max_seconds: float) -> None:
    if n_frames > max_seconds * rate or n_values > max_seconds * _VALUES_PER_SECOND:
        raise UserError(f"{source}: is longer than {max_seconds:g} s, or as big by its rate and channels. "
                        "Cut it into parts")


def _decode(stream: BinaryIO, source: str, max_seconds: float = math.inf) -> tuple[np.ndarray, int]:
    """Samples, float32, shape (frames, channels), and their rate in Hz."""
    if (sound := _open_sndfile(stream, source)) is not None:
        _refuse_long(source, sound.frames * sound.channels, sound.frames, sound.samplerate, max_seconds)
        return _decode_sndfile(sound, source), sound.samplerate
    with _ffmpeg(stream, source) as (container, track):
        return _decode_ffmpeg(container, track, source, max_seconds), track.rate


@contextmanager
def _blocks(stream: BinaryIO, source: str, start: float) -> Iterator[tuple[Iterator[np.ndarray], int, int]]:
    """Yield blocks (samples,) of a file, its rate, and the samples before the first block; it begins by ``start``."""
    if (sound := _open_sndfile(stream, source)) is not None:
        position = 0
        if sound.format in _EXACT_SEEKING:
            position = sound.seek(min(sound.frames, round(start * sound.samplerate)))
        yield (_mono(block) for block in _sndfile_blocks(sound, source, _SHORT_BLOCK)), sound.samplerate, position
        return
    with _ffmpeg(stream, source) as (container, track):
        yield (_mono(frame_samples(frame)) for frame in container.decode(track)), track.rate, 0


def _sndfile_blocks(sound: soundfile.SoundFile, source: str, size: int = _BLOCK) -> Iterator[np.ndarray]:
    """Samples (samples, channels), ``size`` values at once; a UserError if the file is damaged."""
    import soundfile

    try:
        while len(block := sound.read(max(1, size // sound.channels), dtype="float32", always_2d=True)):
            yield block
    except soundfile.LibsndfileError as error:
        raise UserError(f"{source}: is damaged or cut off ({error.error_string}). "
                        "Copy the file again") from None


def _decode_sndfile(sound: soundfile.SoundFile, source: str) -> np.ndarray:
    # In blocks, so that memory is allocated for the samples in the file, not for those in its header.
    samples = np.concatenate([np.zeros((0, sound.channels), np.float32), *_sndfile_blocks(sound, source)])
    _refuse_cut(source, (sound.frames - len(samples)) / sound.samplerate)
    return samples


def _decode_ffmpeg(container: InputContainer, track: AudioStream, source: str, max_seconds: float) -> np.ndarray:
    blocks, n_values, n_frames = [], 0, 0
    for frame in container.decode(track):
        blocks.append(frame_samples(frame))
        n_values, n_frames = n_values + blocks[-1].size, n_frames + len(blocks[-1])
        _refuse_long(source, n_values, n_frames, track.rate, max_seconds)
    return np.concatenate(blocks) if blocks else np.zeros((0, 1), np.float32)


def frame_samples(frame: AudioFrame) -> np.ndarray:
    """Return the samples of a decoded frame: float32, (samples, channels). FFmpeg's own conversion is 10x slower."""
    block = frame.to_ndarray()
    samples: np.ndarray = block.T if frame.format.is_planar else block.reshape(-1, frame.layout.nb_channels)
    if samples.dtype.kind == "f":
        return samples.astype(np.float32)
    if samples.dtype.kind == "u":  # 8 bits, silence is 128
        return (samples.astype(np.float32) - 128) / 128
    return samples.astype(np.float32) / -np.float32(np.iinfo(samples.dtype).min)
