"""The response formats of OpenAI's audio endpoints."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterator
from typing import Any

from utils.data.languages import language_name, text_language
from utils.transcribe.recognizer import Recognition, Segment, join_texts
from utils.transcribe.subtitles import make_cues, to_srt, to_vtt

RESPONSE_FORMATS = ("json", "text", "srt", "verbose_json", "vtt")


def format_recognition(recognition: Recognition, task: str, response_format: str,
                       words: bool = False) -> dict[str, Any] | str:
    """One task of a recognition in a format of RESPONSE_FORMATS: an object for the JSON formats, else text.

    Args:
        words: whether verbose_json has the words with their times, which the segments' details give.
    """
    text = recognition.text(task)
    if response_format == "text":
        return f"{text}\n"
    if response_format in ("srt", "vtt"):
        cues = make_cues(recognition.segments, task)
        return to_srt(cues) if response_format == "srt" else to_vtt(cues)
    usage = {"type": "duration", "seconds": math.ceil(recognition.duration)}
    if response_format == "json":
        return {"text": text, "usage": usage}
    language = text_language(recognition.language, task)
    return {"task": task, "language": language_name(language) if language else "",
            "duration": round(recognition.duration, 3), "text": text, "usage": usage,
            "segments": [_segment(number, segment, task) for number, segment in enumerate(recognition.segments)],
            **({"words": [{"word": word.text, "start": round(word.start, 3), "end": round(word.end, 3)}
                          for segment in recognition.segments if task in segment.details
                          for word in segment.details[task].words]} if words else {})}


def stream_events(recognition: Recognition, task: str) -> Iterator[str]:
    """Server-sent events of OpenAI's ``stream=true``: a delta for each segment, whose texts joined are that of done."""
    sent, text = "", ""
    language = text_language(recognition.language, task)
    for number in range(1, len(recognition.segments) + 1):
        text = join_texts((segment.texts[task] for segment in recognition.segments[:number]), language)
        if len(text) > len(sent):
            yield _event({"type": "transcript.text.delta", "delta": text[len(sent):]})
        sent = text
    yield _event({"type": "transcript.text.done", "text": text})


def _event(data: dict[str, Any]) -> str:
    return f"event: {data['type']}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"


def _segment(number: int, segment: Segment, task: str) -> dict[str, Any]:
    """A segment with all fields that strict clients require; those that were not asked for are 0 or empty."""
    text, details = segment.texts[task], segment.details.get(task)
    data = text.encode()
    return {"id": number, "seek": round(100 * segment.start), "start": round(segment.start, 3),
            "end": round(segment.end, 3), "text": text, "tokens": details.tokens if details else [],
            "temperature": 0.0, "avg_logprob": round(details.avg_logprob, 4) if details else 0.0,
            "compression_ratio": round(len(data) / len(zlib.compress(data)), 3),
            "no_speech_prob": round(details.no_speech_prob, 6) if details else 0.0}
