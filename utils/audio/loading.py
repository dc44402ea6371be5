"""Audio files of any usual kind as Whisper wants them: float32, mono, 16 kHz.

libsndfile reads what it knows (wav, flac, mp3, ogg, opus, NIST, ...), FFmpeg (PyAV) the rest (m4a, webm).
The content decides what a file is, not its name: a wav named ``x.mp3`` is read as the wav it is. Only raw
G.722, which has no header, goes by its name (``.g722``).

A file is refused as cut off when its header promises over 50 ms more than it holds; a shorter gap (two frames
of mp3) is what sloppy writers leave behind and loses no speech. Lengths that mean "unknown" in streamed files
(wav: 0, 0x7ffff000, 0xffffffff; flac: 0) are no promise.
"""

from __future__ import annotations

import io
import math
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from utils.audio.constants import SAMPLE_RATE
from utils.errors import UserError

if TYPE_CHECKING:
    import soundfile
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer

_G722_BYTES_PER_SECOND = 8_000
_VALUES_PER_SECOND = 96_000  # 48 kHz stereo; what fills memory faster may be shorter
_TOLERATED_CUT = 0.05  # seconds
_UNKNOWN_BYTES = 0x7FFF0000  # from here up, a wav's data size is a streaming writer's placeholder
_UNKNOWN_FRAMES = 2**48
_LOUDEST = 2.0**31  # times full scale: a 32-bit integer taken for a fraction; Whisper's powers stay finite below
_LOWEST_RATE = 1000  # Hz; below, a header is wrong, and 16 kHz would be thousands of times as much
_BLOCK = 1 << 22  # samples of all channels that are read at once
# FFmpeg probes the content: playlists (HLS, concat) would make it open what they name, here or on the network.
_FFMPEG_OPTIONS = {"protocol_whitelist": "none"}
_CONTAINER_MAGIC = (b"RIFF", b"RIFX", b"RF64", b"fLaC", b"OggS", b"ID3", b"FORM", b".snd", b"caff")


def load_audio(source: str, allow_pipes: bool = False) -> np.ndarray:
    """Samples of an audio file or a ``command |`` as float32, shape (samples,), mono, 16 kHz, full scale 1.0.

    Channels are averaged.

    Args:
        source: a wav.scp value: a path, or a shell command and ``|`` that writes an audio file to stdout.
        allow_pipes: whether such a command may be run.

    Raises:
        UserError: missing, unreadable, empty, cut off or damaged audio, samples that are no numbers or too large,
            a command that is not allowed or fails.
    """
    with _open(source, allow_pipes) as stream:
        return read_audio(stream, source)


def read_audio(stream: BinaryIO, source: str, max_seconds: float = math.inf) -> np.ndarray:
    """Samples of an audio file that is open, or in memory; as :func:`load_audio`, whose errors it raises.

    Args:
        stream: can be sought in.
        source: what messages call it; raw G.722, which has no header, is known by its ending ``.g722``.
        max_seconds: longer audio is refused before it fills memory, a small file that unfolds into hours, too.
    """
    import soxr

    samples, rate = _decode(stream, source, max_seconds)
    with np.errstate(over="ignore", invalid="ignore"):  # judged below
        mono = samples.mean(axis=1, dtype=np.float32)
    if len(mono) and not np.abs(mono).max() < _LOUDEST:
        raise UserError(f"{source}: has samples that are NaN, infinite or far beyond full scale. Write the file again "
                        "from its source")
    if rate != SAMPLE_RATE:
        mono = soxr.resample(mono, rate, SAMPLE_RATE)
    if not len(mono):
        raise UserError(f"{source}: has no samples. Delete its lines from the lists or replace the file")
    return np.ascontiguousarray(mono, dtype=np.float32)


def audio_seconds(source: str, allow_pipes: bool = False) -> float:
    """Duration in seconds from the header, or by decoding where no header tells it.

    Arguments and errors are those of :func:`load_audio`, but damage inside the audio shows only there.
    """
    with _open(source, allow_pipes) as stream:
        seconds = _header_seconds(stream, source)
        if not seconds:
            samples, rate = _decode(stream, source)
            seconds = len(samples) / rate
    if not seconds:
        raise UserError(f"{source}: has no samples. Delete its lines from the lists or replace the file")
    return seconds


def is_pipe(source: str) -> bool:
    """Whether a wav.scp value is a command to run (``command |``) and not a path."""
    return source.endswith("|")


def _open(source: str, allow_pipes: bool) -> BinaryIO:
    """The bytes of a file, or of what a command writes, ready to be read and sought in."""
    if is_pipe(source):
        if not allow_pipes:
            raise UserError(f"{source}: is a command. Give --allow-pipes true if you trust the list and want "
                            "it run")
        return io.BytesIO(_run(source))
    path = Path(source)
    try:
        if not path.exists():
            raise UserError(f"{source}: does not exist, seen from {Path.cwd()}. Correct the path")
        if not path.is_file():  # a pipe would never end, /dev/zero neither
            raise UserError(f"{source}: cannot be read: it is a directory, a pipe or a device, not a file. "
                            "Correct the path")
        if not path.stat().st_size:
            raise UserError(f"{source}: is empty (0 bytes). Copy it again or delete its lines from the lists")
        return path.open("rb")
    except (OSError, ValueError) as error:  # the latter: a NUL in the name
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"{source}: cannot be read: {reason}. Correct the path or its permissions") from None


def _run(source: str) -> bytes:
    """What the command of a ``command |`` entry writes to stdout; any part of it that fails is an error."""
    done = subprocess.run(["bash", "-o", "pipefail", "-c", source.rstrip()[:-1]], stdin=subprocess.DEVNULL,
                          capture_output=True, check=False)
    if done.returncode or not done.stdout:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["it said nothing on stderr"]
        what = f"exit status {done.returncode}" if done.returncode else "no output"
        raise UserError(f"{source}: {what}: {last[0]}. Try the command in a shell")
    return done.stdout


def _is_raw_g722(stream: BinaryIO, source: str) -> bool:
    head = stream.read(12)
    stream.seek(0)
    return source.lower().endswith(".g722") and not head.startswith(_CONTAINER_MAGIC) and head[4:8] != b"ftyp"


def _size(stream: BinaryIO) -> int:
    size = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    return size


def _refuse_cut(source: str, missing: float) -> None:
    """Raise if more than the tolerated part of the promised audio is missing, in seconds."""
    if missing > _TOLERATED_CUT:
        raise UserError(f"{source}: is cut off: its header promises {missing:.2f} s more than it holds. "
                        "Copy the file again")


def _refuse_rate(source: str, rate: int) -> None:
    if rate < _LOWEST_RATE:
        raise UserError(f"{source}: has a sampling rate of {rate} Hz. Write the file again from its source")


def _missing_from_wav(stream: BinaryIO) -> float:
    """Seconds of audio that a wav's header promises beyond the end of the file; 0 for other files.

    libsndfile and FFmpeg silently believe the file's size instead.
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
        stream.seek(start + length + length % 2)  # chunks begin at even places
    stream.seek(0)
    return missing / bytes_per_second


def _open_sndfile(stream: BinaryIO) -> soundfile.SoundFile | None:
    """The file opened by libsndfile, or None if that does not know its format or its length."""
    import soundfile

    try:
        sound = soundfile.SoundFile(stream)
    except soundfile.LibsndfileError:
        sound = None
    if sound is not None and 0 < sound.frames < _UNKNOWN_FRAMES:
        return sound
    stream.seek(0)
    return None


@contextmanager
def _ffmpeg(stream: BinaryIO, source: str) -> Iterator[tuple[InputContainer, AudioStream]]:
    """The file opened by FFmpeg and its first audio track; FFmpeg's errors in the block become UserErrors."""
    import av

    format_name = "g722" if _is_raw_g722(stream, source) else None
    try:
        with av.open(stream, "r", format=format_name, options=_FFMPEG_OPTIONS) as container:
            if not container.streams.audio:
                raise UserError(f"{source}: has no audio track. Correct the path")
            if container.streams.audio[0].codec_context is None:  # PyAV would crash
                raise UserError(f"{source}: its audio is in a code that FFmpeg does not know. Convert it to flac")
            _refuse_rate(source, container.streams.audio[0].rate)
            yield container, container.streams.audio[0]
    except av.FFmpegError as error:
        raise UserError(f"{source}: is damaged, or no audio that libsndfile or FFmpeg can read "
                        f"({error.strerror}). Replace or convert it; raw G.722 must be named .g722") from None


def _header_seconds(stream: BinaryIO, source: str) -> float | None:
    """Duration in seconds as the header tells it; None or 0 if it does not."""
    if _is_raw_g722(stream, source):
        return _size(stream) / _G722_BYTES_PER_SECOND
    _refuse_cut(source, _missing_from_wav(stream))
    if (sound := _open_sndfile(stream)) is not None:
        _refuse_rate(source, sound.samplerate)
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
    if not _is_raw_g722(stream, source):
        _refuse_cut(source, _missing_from_wav(stream))
        if (sound := _open_sndfile(stream)) is not None:
            _refuse_rate(source, sound.samplerate)
            _refuse_long(source, sound.frames * sound.channels, sound.frames, sound.samplerate, max_seconds)
            return _decode_sndfile(sound, source), sound.samplerate
    with _ffmpeg(stream, source) as (container, track):
        return _decode_ffmpeg(container, track, source, max_seconds), track.rate


def _decode_sndfile(sound: soundfile.SoundFile, source: str) -> np.ndarray:
    import soundfile

    blocks = [np.zeros((0, sound.channels), np.float32)]
    try:  # in blocks: memory is taken for what is there, not for what the header promises
        while len(block := sound.read(max(1, _BLOCK // sound.channels), dtype="float32", always_2d=True)):
            blocks.append(block)
    except soundfile.LibsndfileError as error:
        raise UserError(f"{source}: is damaged or cut off ({error.error_string}). "
                        "Copy the file again") from None
    samples = np.concatenate(blocks)
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
    """Samples of a decoded frame, float32, shape (samples, channels). (FFmpeg's own conversion is ten times slower.)"""
    block = frame.to_ndarray()
    samples: np.ndarray = block.T if frame.format.is_planar else block.reshape(-1, frame.layout.nb_channels)
    if samples.dtype.kind == "f":
        return samples.astype(np.float32)
    if samples.dtype.kind == "u":  # 8 bits, silence is 128
        return (samples.astype(np.float32) - 128) / 128
    return samples.astype(np.float32) / -np.float32(np.iinfo(samples.dtype).min)
