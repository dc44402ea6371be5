"""The programs that users run a model in, on recordings: faster-whisper in its two ways, and our recognizer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from utils.data.lists import TASKS
from utils.score.resegmentation import TimedText

Runtime = Callable[[np.ndarray, str, Sequence[str]], dict[str, list[TimedText]]]
"""Takes audio (samples,) at 16 kHz, a language's code and tasks; returns the segments of each task."""


def faster_whisper(model_dir: Path, device: str, compute_type: str, threads: int) -> Runtime:
    """faster-whisper's ``WhisperModel.transcribe`` with its defaults: times, beam size 5, earlier text, fallbacks."""
    return _faster_whisper(_whisper_model(model_dir, device, compute_type, threads).transcribe)


def faster_whisper_batched(model_dir: Path, device: str, compute_type: str, threads: int) -> Runtime:
    """faster-whisper's ``BatchedInferencePipeline`` with its defaults: windows by voice activity, eight at a time."""
    from faster_whisper import BatchedInferencePipeline

    model = _whisper_model(model_dir, device, compute_type, threads)
    return _faster_whisper(BatchedInferencePipeline(model).transcribe)


def recognizer(model_dir: Path, device: str, compute_type: str, threads: int) -> Runtime:
    """The recognizer of this recipe, beam size 5: both tasks from one encoder pass."""
    from utils.transcribe.recognizer import Recognizer

    recognize = Recognizer(model_dir, device=device, compute_type=compute_type, beam_size=5)

    def run(audio: np.ndarray, language: str, tasks: Sequence[str]) -> dict[str, list[TimedText]]:
        found = recognize(audio, tasks, language).segments
        return {task: [TimedText(segment.start, segment.end, segment.texts[task]) for segment in found]
                for task in tasks}

    return run


RUNTIMES: dict[str, Callable[[Path, str, str, int], Runtime]] = {
    "faster-whisper": faster_whisper, "faster-whisper-batched": faster_whisper_batched, "recognizer": recognizer}


def _whisper_model(model_dir: Path, device: str, compute_type: str, threads: int) -> Any:
    from faster_whisper import WhisperModel

    return WhisperModel(str(model_dir), device=device, compute_type=compute_type, cpu_threads=threads,
                        local_files_only=True)


def _faster_whisper(transcribe: Callable[..., Any]) -> Runtime:
    def run(audio: np.ndarray, language: str, tasks: Sequence[str] = TASKS) -> dict[str, list[TimedText]]:
        found = {}
        for task in tasks:
            segments, _ = transcribe(audio, language=language, task=task)
            found[task] = [TimedText(segment.start, segment.end, segment.text) for segment in segments]
        return found

    return run
