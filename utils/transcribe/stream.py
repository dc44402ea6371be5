"""Live audio: the stream of a microphone, cut into utterances at pauses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO

import numpy as np
import soxr

from utils.audio.constants import SAMPLE_RATE, WINDOW_SECONDS
from utils.audio.ffmpeg_audio import frame_samples
from utils.audio.voice_activity import SpeechSpan, find_speech
from utils.errors import UserError

_LOOK_EVERY = SAMPLE_RATE // 2
_PAUSE = round(0.7 * SAMPLE_RATE)  # so much silence ends an utterance
_LONGEST = round((WINDOW_SECONDS - 2) * SAMPLE_RATE)
_KEPT = SAMPLE_RATE // 2  # silence that is kept, because a word may begin in it


def raw_samples(data: bytes) -> np.ndarray:
    """Samples, shape (samples,), float32, from bytes as ``arecord -t raw -f S16_LE -r 16000`` writes them."""
    return np.frombuffer(data[:len(data) // 2 * 2], "<i2").astype(np.float32) / 32768


def read_blocks(stream: BinaryIO, raw: bool) -> Iterator[np.ndarray]:
    """Blocks of about half a second of samples (float32, mono, 16 kHz), as they arrive.

    Args:
        stream: any format that FFmpeg reads without seeking (wav, ogg, webm, mp3, flac).
        raw: whether the stream is 16-bit little-endian samples, mono, 16 kHz, without a header.

    Raises:
        UserError: FFmpeg cannot read it.
    """
    if raw:
        while data := stream.read(2 * _LOOK_EVERY):
            yield raw_samples(data)
        return
    import av

    waiting: np.ndarray = np.zeros(0, np.float32)
    try:
        # Little is read ahead to detect the format, so that the first words are not delayed. Playlists open nothing.
        options = {"probesize": "4096", "analyzeduration": "0", "protocol_whitelist": "none"}
        with av.open(stream, "r", options=options) as container:
            track = container.streams.audio[0]
            if track.codec_context is None:  # PyAV would crash
                raise UserError("standard input: in a codec that FFmpeg does not support. Convert it to flac")
            resampler = soxr.ResampleStream(track.rate, SAMPLE_RATE, 1, "float32")
            for frame in container.decode(track):
                mono = frame_samples(frame).mean(axis=1, dtype=np.float32)
                waiting = np.concatenate([waiting, resampler.resample_chunk(mono)])
                if len(waiting) >= _LOOK_EVERY:
                    yield waiting
                    waiting = waiting[:0]
    except (av.FFmpegError, IndexError) as error:
        raise UserError(f"standard input: no audio that FFmpeg can read as it comes ({error}). If it has no header, "
                        "give --raw true") from None
    yield np.concatenate([waiting, resampler.resample_chunk(waiting[:0], last=True)])


def cut_at_pauses(blocks: Iterable[np.ndarray]) -> Iterator[tuple[float, np.ndarray]]:
    """The second at which each utterance begins, and its samples (at most 30 s), as soon as a pause follows it."""
    heard: np.ndarray = np.zeros(0, np.float32)
    start = 0  # of ``heard``, in samples
    for block in blocks:
        heard = np.concatenate([heard, block])
        speech = find_speech(heard)
        cut = _place_to_cut(speech, len(heard))
        if speech and cut:
            yield start / SAMPLE_RATE, heard[:cut]
        start, heard = start + cut, heard[cut:]
    if find_speech(heard):
        yield start / SAMPLE_RATE, heard


def _place_to_cut(speech: Sequence[SpeechSpan], length: int) -> int:
    """How many of ``length`` samples can be cut off; 0: more samples are needed."""
    if not speech:
        return max(0, length - _KEPT)
    if length - speech[-1].end >= _PAUSE:
        return speech[-1].end
    if length < _LONGEST:
        return 0
    return speech[-1].start if len(speech) > 1 else length
