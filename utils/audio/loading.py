"""Reads audio files of any usual format as Whisper needs them: float32, mono, 16 kHz.

libsndfile reads the formats that it supports (wav, flac, ogg, opus, NIST, ...), FFmpeg (PyAV) the others (m4a, webm),
and mp3 and joined Ogg files, of which libsndfile reads what the first header counts. The format is detected from the
content, not from the name: a wav named ``x.mp3`` is read as wav. Only raw G.722, which has no header, is recognized by
its name (``.g722``).

A length is that of what decodes. A file is refused as cut off if its header announces over 50 ms more than the file
holds, and if it has audio after what its header counts. Lengths that mean "unknown" in streamed files (wav: 0,
0x7ffff000, 0xffffffff; flac: 0) are ignored.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from utils.audio.constants import SAMPLE_RATE
from utils.audio.faults import mix_channels
from utils.audio.ffmpeg_audio import counted_seconds, decoded_blocks, is_raw_g722, open_ffmpeg
from utils.audio.headers import (
    file_size,
    holds_second_flac,
    is_chained_ogg,
    missing_share_of_mp3,
    refuse_cut,
    refuse_mismatch,
    refuse_second,
)
from utils.audio.parts import cut_parts
from utils.audio.sources import open_source, part_seconds, part_source, split_part
from utils.errors import UserError

if TYPE_CHECKING:
    import soundfile
    from av.audio.stream import AudioStream
    from av.container import InputContainer

_G722_BYTES_PER_SECOND = 8_000
_VALUES_PER_SECOND = 96_000  # 48 kHz stereo; audio with more values per second must be shorter
_UNKNOWN_FRAMES = 2**48
_LOUDEST = 16.0  # times full scale: floats go a little beyond it; far beyond are integers that were written as floats
_LOWEST_RATE = 1000  # Hz; a lower rate is an error in the header, and resampling to 16 kHz would multiply the samples
_BLOCK = 1 << 22  # samples of all channels in one block
_SHORT_BLOCK = 1 << 16  # the same where parts are cut out
_EXACT_SEEKING = ("WAV", "WAVEX", "FLAC", "AIFF", "RF64", "W64")


def load_audio(source: str, allow_pipes: bool = False) -> np.ndarray:
    """Return the samples of an audio file or a ``command |``: float32, shape (samples,), mono, 16 kHz, full scale 1.0.

    The channels are averaged; if they cancel each other, the loudest is taken.

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
    return _speech_samples(mix_channels(samples), rate, source)


def _speech_samples(mono: np.ndarray, rate: int, source: str) -> np.ndarray:
    """Samples (samples,) at 16 kHz; a UserError if there are none, or these cannot be speech."""
    import soxr

    if len(mono) and not np.abs(mono).max() < _LOUDEST:
        raise UserError(f"{source}: has samples that are NaN, infinite or far beyond full scale, which is 1.0 in "
                        "floats. Write the file again from its source; divide integers by their range first")
    if rate != SAMPLE_RATE:
        mono = soxr.resample(mono, rate, SAMPLE_RATE)
    if not len(mono):
        raise UserError(f"{source}: has no samples. Delete its lines from the lists or replace the file")
    return np.ascontiguousarray(mono, dtype=np.float32)


def audio_seconds(source: str, allow_pipes: bool = False) -> float:
    """Return the duration in seconds: from a header that counts samples, from packets, or else by decoding.

    Arguments and errors are those of :func:`load_audio`, but damage inside the samples is not detected.
    """
    if part := split_part(source):
        return part_seconds(source, *part[1:], audio_seconds(part[0], allow_pipes))
    with open_source(source, allow_pipes) as stream:
        seconds = _probed_seconds(stream, source)
        if not seconds:
            samples, rate = _decode(stream, source)
            seconds = len(samples) / rate
    if not seconds:
        raise UserError(f"{source}: has no samples. Delete its lines from the lists or replace the file")
    return seconds


def _refuse_rate(source: str, rate: int) -> None:
    if rate < _LOWEST_RATE:
        raise UserError(f"{source}: has a sampling rate of {rate} Hz. Write the file again from its source")


def _open_sndfile(stream: BinaryIO, source: str) -> soundfile.SoundFile | None:
    """The file opened by libsndfile, or None if FFmpeg is to read it: its format, its length or more than one stream.

    A UserError if its header is wrong.
    """
    import soundfile

    if is_raw_g722(stream, source):
        return None
    refuse_mismatch(stream, source)
    if is_chained_ogg(stream):
        return None
    magic = stream.read(3)
    stream.seek(0)
    if magic == b"ID3" or (magic[:1] == b"\xff" and magic[1:2] >= b"\xe0"):  # mp3, ADTS
        return None
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
    """Yield the file opened by FFmpeg and its first audio track, as :func:`open_ffmpeg`."""
    with open_ffmpeg(stream, source) as (container, track):
        _refuse_rate(source, track.rate)
        yield container, track


def _probed_seconds(stream: BinaryIO, source: str) -> float | None:
    """Duration in seconds, without decoding; None or 0 if that needs decoding."""
    if is_raw_g722(stream, source):
        return file_size(stream) / _G722_BYTES_PER_SECOND
    if (sound := _open_sndfile(stream, source)) is not None:
        return sound.frames / sound.samplerate
    if is_chained_ogg(stream):  # the packets' times do not tell what is dropped where one stream follows another
        return None
    missing = missing_share_of_mp3(stream)
    with _ffmpeg(stream, source) as (container, track):
        seconds = counted_seconds(container, track)
        _refuse_cut_mp3(source, missing, seconds or 0)
    stream.seek(0)
    return seconds


def _refuse_cut_mp3(source: str, missing: float, seconds: float) -> None:
    """Refuse an mp3 that lacks a share of its bytes; ``seconds`` is what is left."""
    refuse_cut(source, missing / (1 - missing) * seconds if missing < 1 else math.inf)


def _refuse_long(source: str, n_values: int, n_frames: int, rate: int, max_seconds: float) -> None:
    if n_frames > max_seconds * rate or n_values > max_seconds * _VALUES_PER_SECOND:
        raise UserError(f"{source}: is longer than {max_seconds:g} s, or as big by its rate and channels. "
                        "Cut it into parts")


def _decode(stream: BinaryIO, source: str, max_seconds: float = math.inf) -> tuple[np.ndarray, int]:
    """Samples, float32, shape (frames, channels), and their rate in Hz."""
    if holds_second_flac(stream):
        refuse_second(source, "holds another flac file")
    if (sound := _open_sndfile(stream, source)) is not None:
        _refuse_long(source, sound.frames * sound.channels, sound.frames, sound.samplerate, max_seconds)
        return _decode_sndfile(sound, source), sound.samplerate
    missing = missing_share_of_mp3(stream)
    with _ffmpeg(stream, source) as (container, track):
        samples = _decode_ffmpeg(container, track, source, max_seconds)
        _refuse_cut_mp3(source, missing, len(samples) / track.rate)
        return samples, track.rate


@contextmanager
def _blocks(stream: BinaryIO, source: str, start: float) -> Iterator[tuple[Iterator[np.ndarray], int, int]]:
    """Yield blocks (samples,) of a file, its rate, and the samples before the first block; it begins by ``start``."""
    if (sound := _open_sndfile(stream, source)) is not None:
        position = 0
        if sound.format in _EXACT_SEEKING:
            position = sound.seek(min(sound.frames, round(start * sound.samplerate)))
        yield map(mix_channels, _sndfile_blocks(sound, source, _SHORT_BLOCK)), sound.samplerate, position
        return
    with _ffmpeg(stream, source) as (container, track):
        yield map(mix_channels, decoded_blocks(container, track)), track.rate, 0


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
    refuse_cut(source, (sound.frames - len(samples)) / sound.samplerate)
    return samples


def _decode_ffmpeg(container: InputContainer, track: AudioStream, source: str, max_seconds: float) -> np.ndarray:
    blocks, n_values, n_frames = [], 0, 0
    for block in decoded_blocks(container, track):
        blocks.append(block)
        n_values, n_frames = n_values + blocks[-1].size, n_frames + len(blocks[-1])
        _refuse_long(source, n_values, n_frames, track.rate, max_seconds)
    return np.concatenate(blocks) if blocks else np.zeros((0, 1), np.float32)
