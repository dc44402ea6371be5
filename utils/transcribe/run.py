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
from utils.cli import progress_bar
from utils.errors import UserError
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


def transcribe(recognizer: Recognizer, recordings: Sequence[Recording], job: Job, output: Output, num_jobs: int) -> int:
    """Recognize recordings, ``num_jobs`` at once, and write them in their order.

    Returns:
        The number of recordings that could not be read; each is named on standard error.
    """
    seconds = [_seconds(recording, job) for recording in recordings]
    failed = 0
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
                return recognizer(media.audio, job.tasks, job.language or recording.language, advance)
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
        finally:  # after Ctrl-C or a full disk nothing new is started, and running calls end after their batch
            stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)
    output.close()
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


def _read(recording: Recording, job: Job, on_packet: Callable[[], None]) -> Media:
    if split_part(recording.source):
        return Media(load_audio(recording.source, job.allow_pipes))
    if recording.source != STDIN:
        with open_source(recording.source, job.allow_pipes) as stream:
            return read_media(stream, recording.source, job.track, on_packet=on_packet)
    data = sys.stdin.buffer.read()
    if not data:
        raise UserError("standard input: is empty. Pipe audio into it: arecord ... | pyscripts/transcribe.py -")
    return Media(raw_samples(data)) if job.raw else read_media(io.BytesIO(data), "standard input", job.track)


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
