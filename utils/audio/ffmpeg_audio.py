"""Reads what libsndfile does not read, or reads only a part of, through FFmpeg (PyAV)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, cast

import numpy as np

from utils.errors import UserError

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.packet import Packet

# Without this, FFmpeg would open local files and addresses that a playlist (HLS, concat) names.
_OPTIONS = {"protocol_whitelist": "none"}
_CONTAINER_MAGIC = (b"RIFF", b"RIFX", b"RF64", b"fLaC", b"OggS", b"ID3", b"FORM", b".snd", b"caff")


def is_raw_g722(stream: BinaryIO, source: str) -> bool:
    """Whether a file is raw G.722, which has no header: by its name, unless it has a known header."""
    head = stream.read(12)
    stream.seek(0)
    return source.lower().endswith(".g722") and not head.startswith(_CONTAINER_MAGIC) and head[4:8] != b"ftyp"


@contextmanager
def open_container(stream: BinaryIO, source: str) -> Iterator[InputContainer]:
    """Yield a file opened by FFmpeg; FFmpeg's errors in the block become UserErrors.

    Args:
        stream: the file; must be seekable.
        source: its name, for messages and to recognize raw G.722.
    """
    import av

    format_name = "g722" if is_raw_g722(stream, source) else None
    try:
        with av.open(stream, "r", format=format_name, options=_OPTIONS) as container:
            yield container
    except av.FFmpegError as error:
        raise UserError(f"{source}: is damaged, or no audio that libsndfile or FFmpeg can read "
                        f"({error.strerror}). Replace or convert it; raw G.722 must be named .g722") from None


@contextmanager
def open_ffmpeg(stream: BinaryIO, source: str) -> Iterator[tuple[InputContainer, AudioStream]]:
    """Yield a file opened by :func:`open_container` and its first audio track.

    Raises:
        UserError: it has none, or no decoder is there for it.
    """
    with open_container(stream, source) as container:
        if not container.streams.audio:
            raise UserError(f"{source}: has no audio track. Correct the path")
        if container.streams.audio[0].codec_context is None:  # PyAV would crash
            raise UserError(f"{source}: its audio is in a codec that FFmpeg does not support. Convert it to flac")
        yield container, container.streams.audio[0]


def audio_packets(container: InputContainer, track: AudioStream) -> Iterator[Packet]:
    """Yield the packets of a track, without the tags that joined mp3 files have between them."""
    mp3 = container.format.name == "mp3"
    for packet in container.demux(track):
        if not (mp3 and packet.size and bytes(packet)[:3] in (b"ID3", b"TAG", b"APE")):
            yield packet


def decoded_blocks(container: InputContainer, track: AudioStream) -> Iterator[np.ndarray]:
    """Yield the samples of each decoded frame: float32, (samples, channels)."""
    for packet in audio_packets(container, track):
        for frame in packet.decode():
            yield frame_samples(cast("AudioFrame", frame))


def counted_seconds(container: InputContainer, track: AudioStream) -> float | None:
    """Length of a track by its packets, seconds, without what the decoder drops; None if the packets do not say it.

    A header's length is often an estimate from the first packets. A file with pictures is not read through.
    """
    if container.streams.video:
        if track.duration is not None and track.time_base is not None:
            return float(track.duration * track.time_base)
        return container.duration / 1_000_000 if container.duration else None
    seconds, dropped = 0.0, 0
    for packet in audio_packets(container, track):
        if packet.size and not packet.duration:
            return None
        seconds += float((packet.duration or 0) * packet.time_base) if packet.size else 0.0
        if packet.has_sidedata("skip_samples"):  # samples to drop at the start and the end, little-endian
            dropped += sum(struct.unpack_from("<II", bytes(packet.get_sidedata("skip_samples"))))
    return max(0.0, seconds - dropped / track.rate)


def frame_samples(frame: AudioFrame) -> np.ndarray:
    """Return the samples of a decoded frame: float32, (samples, channels). FFmpeg's own conversion is 10x slower."""
    block = frame.to_ndarray()
    samples: np.ndarray = block.T if frame.format.is_planar else block.reshape(-1, frame.layout.nb_channels)
    if samples.dtype.kind == "f":
        return samples.astype(np.float32)
    if samples.dtype.kind == "u":  # 8 bits, silence is 128
        return (samples.astype(np.float32) - 128) / 128
    return samples.astype(np.float32) / -np.float32(np.iinfo(samples.dtype).min)
