"""Transcription of many recordings, several at once; a bad file does not stop the others."""

from __future__ import annotations

import io
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from tqdm import tqdm

from utils.audio.loading import audio_seconds, load_audio
from utils.audio.media import Media, read_media
from utils.audio.sources import is_pipe, open_source, split_part
from utils.cli import log, progress_bar
from utils.errors import UserError
from utils.transcribe.channels import join_channels
from utils.transcribe.outputs import Output
from utils.transcribe.recognizer import Recognition, Recognizer
from utils.transcribe.recordings import STDIN, Recording
from utils.transcribe.stream import cut_at_pauses, raw_samples, read_blocks


@dataclass(frozen=True)
class Job:
    """The settings for all recordings."""

    tasks: Sequence[str]
    language: str | None = None  # None: what the list says, else detected
    allow_pipes: bool = False
    raw: bool = False  # whether standard input is 16-bit samples, 16 kHz, mono, without a header
    track: int | None = None  # number of the audio track, from 1; None: the container's default track
    split: bool = False  # whether each channel is recognized by itself
    details: bool = False  # whether times of words are wanted


def new_recordings(recordings: Sequence[Recording], output: Output) -> list[Recording]:
    """Those that an earlier run did not write; the log says how many it did."""
    new = [recording for recording in recordings if not output.has(recording.name)]
    log(f"{len(recordings) - len(new)} of {len(recordings)} recordings are there already, and left out")
    return new


def transcribe(recognizer: Recognizer, recordings: Sequence[Recording], job: Job, output: Output, num_jobs: int) -> int:
    """Recognize recordings, ``num_jobs`` at once, and write them in their order.

    Returns:
        The number of recordings that could not be read; each is named on standard error.
    """
    seconds = [_seconds(recording, job) for recording in recordings]
    failed = written = 0
    with progress_bar("transcribing", round(sum(seconds)) or None, "s") as bar, ThreadPoolExecutor(num_jobs) as pool:
        lock, stopped = threading.Lock(), threading.Event()  # the bar's lock

        def recognize(recording: Recording, length: float) -> Recognition | UserError:
            done = 0.0

            def advance(share: float) -> None:
                nonlocal done
                if stopped.is_set():
                    raise CancelledError
                with lock:
                    bar.update(round(share * length, 2) - done)
                done = round(share * length, 2)

            try:
                media = _read(recording, job, lambda: advance(0.0))
                for note in media.notes():
                    tqdm.write(f"{recording.source}: {note}", file=sys.stderr)
                language, number = job.language or recording.language, len(media.channels)
                sides = [recognizer(audio, job.tasks, language, _part_of(advance, side, number), job.details)
                         for side, audio in enumerate(media.channels)]
                return join_channels(sides, named=job.split)
            except UserError as error:
                return error
            finally:
                advance(1.0)

        futures = [pool.submit(recognize, *pair) for pair in zip(recordings, seconds, strict=True)]
        try:
            for recording, future in zip(recordings, futures, strict=True):
                found = future.result()
                if isinstance(found, UserError):
                    failed += 1
                    tqdm.write(f"{Path(sys.argv[0]).name}: error: {_named(recording, found)}", file=sys.stderr)
                else:
                    output.write(recording.name, recording.source, found)
                    written += 1
        finally:  # after Ctrl-C or a full disk nothing new is started, and running calls end after their batch
            stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)
            if written or failed == len(recordings):
                output.close()  # after Ctrl-C: what is finished
    return failed


def transcribe_live(recognizer: Recognizer, job: Job, output: Output) -> None:
    """Recognize standard input utterance by utterance; each is written as soon as a pause follows it.

    The first Ctrl-C ends the program that records, and what it has sent is still decoded. A second one ends at once.

    Raises:
        UserError: the stream cannot be read.
    """
    signal.signal(signal.SIGINT, lambda *_: signal.signal(signal.SIGINT, signal.default_int_handler))
    for start, audio in cut_at_pauses(read_blocks(sys.stdin.buffer, job.raw)):
        found = recognizer(audio, job.tasks, job.language)
        shifted = [replace(segment, start=segment.start + start, end=segment.end + start) for segment in found.segments]
        if shifted:
            output.write("stdin", STDIN, replace(found, segments=shifted))


def _part_of(advance: Callable[[float], None], part: int, parts: int) -> Callable[[float], None]:
    """Progress of one of several equal parts, as progress of the whole."""
    return lambda share: advance((part + share) / parts)


def _read(recording: Recording, job: Job, on_packet: Callable[[], None]) -> Media:
    if job.split and (split_part(recording.source) or (recording.source == STDIN and job.raw)):
        raise UserError(f"{recording.source}: has one channel here; --channels split is for audio files")
    if split_part(recording.source):
        return Media([load_audio(recording.source, job.allow_pipes)])
    if recording.source != STDIN:
        with open_source(recording.source, job.allow_pipes) as stream:
            return read_media(stream, recording.source, job.track, on_packet=on_packet, split=job.split)
    data = sys.stdin.buffer.read()
    if not data:
        raise UserError("standard input: is empty. Pipe audio into it: arecord ... | pyscripts/transcribe.py -")
    if job.raw:
        return Media([raw_samples(data)])
    return read_media(io.BytesIO(data), "standard input", job.track, split=job.split)


def _seconds(recording: Recording, job: Job) -> float:
    """The length of a recording in seconds, for the progress bar; 0 if only reading all of it would show it."""
    if recording.source == STDIN or is_pipe(recording.source):
        return 0.0
    try:
        return audio_seconds(recording.source, job.allow_pipes)
    except UserError:
        return 0.0  # the error is reported when the recording is read


def _named(recording: Recording, error: UserError) -> str:
    """The error's message with the recording's name, if that is not in it."""
    message = str(error)
    return message if recording.source in message or recording.source == STDIN else f"{recording.source}: {message}"
