"""Voice activity detection with silero's detector, which faster-whisper includes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from utils.audio.constants import SAMPLE_RATE, WINDOW_SECONDS

_MIN_SILENCE_MS = 160  # a shorter silence is inside a sentence; as in BatchedInferencePipeline
_BLOCK_SECONDS = 600
_MARGIN_MS = 200  # silence kept at both ends of speech, so that no consonant is cut


class SpeechSpan(NamedTuple):
    """A section of a recording, in samples; ``end`` is the first sample after it."""

    start: int
    end: int


def find_speech(audio: np.ndarray) -> list[SpeechSpan]:
    """Return the spans of speech, each at most 30 s with 200 ms of silence at both ends; empty if there is no speech.

    Ten minutes are looked at at once, which keeps memory small: the detector makes copies of what it gets.

    Args:
        audio: (samples,) float32 at 16 kHz.
    """
    spans: list[SpeechSpan] = []
    start = 0
    while start < len(audio):
        end = min(len(audio), start + _BLOCK_SECONDS * SAMPLE_RATE)
        found = _find_in_block(audio[start:end])
        following = end
        if end < len(audio) and found and found[-1].end >= end - start - SAMPLE_RATE and len(found) > 1:
            following = start + found.pop().start  # speech at the end of a block belongs to the next one
        spans += [SpeechSpan(start + span.start, start + span.end) for span in found]
        start = following
    return spans


def _find_in_block(audio: np.ndarray) -> list[SpeechSpan]:
    from faster_whisper.vad import VadOptions, get_speech_timestamps

    options = VadOptions(max_speech_duration_s=WINDOW_SECONDS, min_silence_duration_ms=_MIN_SILENCE_MS,
                         speech_pad_ms=_MARGIN_MS)
    return [SpeechSpan(found["start"], found["end"]) for found in get_speech_timestamps(audio, options)]


def merge_spans(spans: list[SpeechSpan], max_seconds: float, max_gap_seconds: float) -> list[SpeechSpan]:
    """Join neighbouring spans, with the silence between them, into spans of at most ``max_seconds``.

    Args:
        spans: in order of time.
        max_gap_seconds: spans with a longer silence between them are not joined.
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
    """Return the first sample of speech and the first one after all speech; None if there is no speech.

    Args:
        samples: (samples,) float32 at 16 kHz.
    """
    from faster_whisper.vad import VadOptions, get_speech_timestamps

    found = get_speech_timestamps(samples, VadOptions(speech_pad_ms=0, min_silence_duration_ms=100))
    return (found[0]["start"], found[-1]["end"]) if found else None
