"""Where in a recording somebody speaks: silero's voice activity detector, as faster-whisper brings it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from utils.audio.constants import SAMPLE_RATE, WINDOW_SECONDS

_MIN_SILENCE_MS = 160  # shorter ones are inside a sentence; BatchedInferencePipeline has the same
_MARGIN_MS = 200  # kept at both ends of speech, so that no consonant is cut


class SpeechSpan(NamedTuple):
    """A stretch of a recording, in samples; ``end`` is the first sample after it."""

    start: int
    end: int


def find_speech(audio: np.ndarray) -> list[SpeechSpan]:
    """Stretches of speech with a little silence at both ends, each at most 30 s; none if nobody speaks.

    Args:
        audio: (samples,) float32 at 16 kHz.
    """
    from faster_whisper.vad import VadOptions, get_speech_timestamps

    if not len(audio):
        return []
    options = VadOptions(max_speech_duration_s=WINDOW_SECONDS, min_silence_duration_ms=_MIN_SILENCE_MS,
                         speech_pad_ms=_MARGIN_MS)
    return [SpeechSpan(found["start"], found["end"]) for found in get_speech_timestamps(audio, options)]


def merge_spans(spans: list[SpeechSpan], max_seconds: float, max_gap_seconds: float) -> list[SpeechSpan]:
    """Neighbours joined, with the silence between them, as long as none gets longer than ``max_seconds``.

    Args:
        spans: in order of time.
        max_gap_seconds: a longer silence is never inside a span.
    """
    merged: list[SpeechSpan] = []
    for span in spans:
        if (merged and span.end - merged[-1].start <= max_seconds * SAMPLE_RATE
                and span.start - merged[-1].end <= max_gap_seconds * SAMPLE_RATE):
            merged[-1] = SpeechSpan(merged[-1].start, span.end)
        else:
            merged.append(span)
    return merged


def speech_bounds(samples: np.ndarray) -> tuple[int, int] | None:
    """First and last sample of speech by faster-whisper's voice activity detection (silero); None without any."""
    from faster_whisper.vad import VadOptions, get_speech_timestamps

    found = get_speech_timestamps(samples, VadOptions(speech_pad_ms=0, min_silence_duration_ms=100))
    return (found[0]["start"], found[-1]["end"]) if found else None
