"""Reads recordings for transcribing: of any length, as they are decoded; what is damaged is skipped and named.

Times are those of the container: a track that starts late, pauses or lost packets has silence there, so that subtitles
fit. Training reads audio strictly, by :mod:`utils.audio.loading`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, cast

import numpy as np

from utils.audio.constants import SAMPLE_RATE
from utils.audio.faults import mix_channels
from utils.audio.ffmpeg_audio import audio_packets, frame_samples, open_container
from utils.audio.headers import refuse_mismatch
from utils.errors import UserError

if TYPE_CHECKING:
    import soxr
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer

_BLOCK_SECONDS = 1.0  # of samples that are mixed and resampled at once
_GAP_SECONDS = 0.1  # a longer pause between packets is silence; shorter ones are rounding of their times
_LONGEST_GAP = 3600.0  # seconds; a longer one is a damaged time
_LOWEST_RATE, _HIGHEST_RATE = 1000, 768_000  # Hz


@dataclass
class Media:
    """A recording that was read.

    Attributes:
        channels: (samples,) float32 at 16 kHz each; one if they were mixed.
        track: which of several audio tracks it is; "" if there is one.
        missing: seconds that could not be decoded, and are silence.
        mismatch: how its header and what it holds differ; "" if they do not.
    """

    channels: list[np.ndarray]
    track: str = ""
    missing: float = 0.0
    mismatch: str = ""

    @property
    def audio(self) -> np.ndarray:
        """The first channel, or what they were mixed to."""
        return self.channels[0]

    def notes(self) -> list[str]:
        """What a user should know of it."""
        lost = f"{self.missing:.1f} s could not be decoded and are taken as silence" if self.missing >= 0.05 else ""
        return [note for note in (self.track, lost, self.mismatch) if note]


@dataclass
class _Collected:
    """Samples at 16 kHz, in a buffer that grows, with the resampler of the audio that comes in."""

    samples: np.ndarray
    length: int = 0
    rate: int = 0
    blocks: list[np.ndarray] = field(default_factory=list)
    pending: int = 0
    resampler: soxr.ResampleStream | None = None
    taken: float = 0.0  # seconds of the track so far, silence included

    def add(self, block: np.ndarray, rate: int) -> None:
        """Add samples (samples, channels) of some rate."""
        if rate != self.rate or (self.blocks and self.blocks[0].shape[1] != block.shape[1]):
            self.flush()
            self.rate = rate
        self.blocks.append(block)
        self.pending += len(block)
        self.taken += len(block) / rate
        if self.pending >= _BLOCK_SECONDS * rate:
            self._mix(last=False)

    def pause(self, seconds: float) -> None:
        """Add silence."""
        self.flush()
        self._append(np.zeros(round((self.taken + seconds) * SAMPLE_RATE) - self.length, np.float32))
        self.taken += seconds

    def flush(self) -> None:
        """Resample what has come in so far to its end."""
        if self.rate:
            self._mix(last=True)
        self.resampler = None

    def _mix(self, last: bool) -> None:
        import soxr

        mono = mix_channels(np.concatenate(self.blocks)) if self.blocks else np.zeros(0, np.float32)
        self.blocks, self.pending = [], 0
        if self.rate != SAMPLE_RATE:
            if self.resampler is None:
                self.resampler = soxr.ResampleStream(self.rate, SAMPLE_RATE, 1)
            mono = self.resampler.resample_chunk(mono, last=last)
        self._append(np.nan_to_num(np.clip(mono, -1e4, 1e4)))

    def _append(self, block: np.ndarray) -> None:
        if self.length + len(block) > len(self.samples):
            grown = np.empty(max(2 * len(self.samples), self.length + len(block)), np.float32)
            grown[:self.length] = self.samples[:self.length]
            self.samples = grown
        self.samples[self.length:self.length + len(block)] = block
        self.length += len(block)


def read_media(stream: BinaryIO, source: str, track: int | None = None, max_seconds: float = math.inf,
               on_packet: Callable[[], None] = lambda: None, split: bool = False) -> Media:
    """Read an audio track of a file of any kind that FFmpeg opens.

    Args:
        stream: the file; must be seekable.
        source: its name, for messages and to recognize raw G.722 (``.g722``).
        track: number of the audio track, from 1; None: the container's default track, or the first that a decoder is
            there for.
        max_seconds: longer audio is refused before it fills the memory.
        on_packet: is called often; an exception that it raises ends the reading.
        split: keep the channels apart, as many as the track begins with.

    Raises:
        UserError: no audio can be decoded, there is no such track, or it is too long.
    """
    mismatch = _mismatch(stream, source)
    with open_container(stream, source) as container:
        chosen, name = _choose_track(container, source, track)
        expected = min(container.duration / 1e6 if container.duration else 0.0, max_seconds, 24 * 3600.0)
        size, missing = round(expected * SAMPLE_RATE) + SAMPLE_RATE, 0.0
        channels = [_Collected(np.empty(size, np.float32))]
        for block, rate, start, lost in _blocks(container, chosen):
            on_packet()
            missing += lost
            if split and block is not None and not channels[0].taken:
                channels += [_Collected(np.empty(size, np.float32)) for _ in range(block.shape[1] - len(channels))]
            for number, channel in enumerate(channels):
                if start is not None and _GAP_SECONDS < (gap := start - channel.taken) < _LONGEST_GAP:
                    channel.pause(min(gap, max_seconds - channel.taken + 1))
                if block is not None:
                    channel.add(_channel(block, number) if split else block, rate)
            if channels[0].taken > max_seconds:
                raise UserError(f"{source}: is longer than {max_seconds:g} s. Cut it into parts")
        for channel in channels:
            channel.flush()
    if not channels[0].length:
        raise UserError(f"{source}: has no samples that can be decoded. Replace the file")
    return Media([channel.samples[:channel.length] for channel in channels], name, missing, mismatch)


def _channel(block: np.ndarray, number: int) -> np.ndarray:
    """One channel of (samples, channels); the last one where there are fewer, as in a part that is mono."""
    number = min(number, block.shape[1] - 1)
    return block[:, number:number + 1]


def _mismatch(stream: BinaryIO, source: str) -> str:
    """What training would refuse the file for, as a note: transcribing goes on with what can be read."""
    try:
        refuse_mismatch(stream, source)
    except UserError as error:
        stream.seek(0)
        return str(error).removeprefix(f"{source}: ")
    return ""


def _choose_track(container: InputContainer, source: str, number: int | None) -> tuple[AudioStream, str]:
    """The track to read, and a note that says which it is if there are several."""
    from av.stream import Disposition

    tracks = container.streams.audio
    usable = [track for track in tracks if track.codec_context is not None]  # PyAV would crash with the others
    if not tracks:
        raise UserError(f"{source}: has no audio track. Correct the path")
    if number is not None and not 1 <= number <= len(tracks):
        raise UserError(f"{source}: --track {number}: it has {len(tracks)} audio tracks")
    if not usable or (number is not None and tracks[number - 1] not in usable):
        raise UserError(f"{source}: its audio is in a codec that FFmpeg does not support. Convert it to flac")
    default = [track for track in usable if track.disposition & Disposition.default]
    chosen = tracks[number - 1] if number is not None else (default or usable)[0]
    if not _LOWEST_RATE <= chosen.rate <= _HIGHEST_RATE:
        raise UserError(f"{source}: has a sampling rate of {chosen.rate} Hz. Write the file again from its source")
    language = chosen.metadata.get("language", "")
    note = f"audio track {tracks.index(chosen) + 1} of {len(tracks)}" + (f" ({language})" if language else "")
    return chosen, note if len(tracks) > 1 else ""


def _blocks(container: InputContainer, track: AudioStream) -> Iterator[tuple[np.ndarray | None, int, float | None,
                                                                            float]]:
    """Yield samples, their rate, their time in the container (seconds), and what was lost before them (seconds).

    Times that go back, as in joined files, go on from what came before.
    """
    import av

    begin, shift, latest = (container.start_time or 0) / 1e6, 0.0, 0.0
    packets = audio_packets(container, track)
    while True:
        try:
            packet = next(packets, None)
        except av.FFmpegError:  # the rest cannot be found
            return
        if packet is None:
            return
        length = float((packet.duration or 0) * packet.time_base) if packet.time_base else 0.0
        try:
            frames = cast("list[AudioFrame]", packet.decode())
        except av.FFmpegError:
            yield None, 0, None, length if packet.size else 0.0
            continue
        for frame in frames:
            start = None if frame.time is None else frame.time - begin + shift
            if start is not None and (start < latest - _GAP_SECONDS or start > latest + _LONGEST_GAP):
                shift += latest - start
                start = latest
            latest = (latest if start is None else start) + frame.samples / frame.sample_rate
            yield frame_samples(frame), frame.sample_rate, start, 0.0
