"""Decodes a long set in one of the runtimes: hypotheses by segment, seconds, errors of the segments' times."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from utils.audio.constants import SAMPLE_RATE
from utils.audio.loading import load_audio
from utils.cli import progress
from utils.data.languages import text_language
from utils.data.lists import parse_key, read_list
from utils.data.segments import TimeSpan, read_recordings, read_segments
from utils.decode.ct2_decoder import resolve_runtime
from utils.decode.decode_directory import write_decode_directory
from utils.filesystem import atomic_open, write_json
from utils.score.recording_scores import NEAR_SECONDS, TIMES
from utils.score.resegmentation import TimedText, resegment, time_errors
from utils.transcribe.runtimes import RUNTIMES


def decode_long_set(long_dir: Path, out_dir: Path, system: str, runtime: str, model_dir: Path, device: str,
                    compute_type: str, threads: int) -> Iterator[str]:
    """Decode all recordings of a set; write OUT_DIR/decode_SET-RUNTIME_SYSTEM.

    Args:
        long_dir: with wav.scp, segments and text, see utils.data.long_sets.
        runtime: one of ``RUNTIMES``.
        model_dir: a CTranslate2 directory.

    Yields:
        Lines for the log.

    Raises:
        UserError: a list is missing or damaged, or the machine lacks the device or type.
    """
    device, compute_type = resolve_runtime(device, compute_type)
    run = RUNTIMES[runtime](model_dir, device, compute_type, threads)
    scp, spans, text = (read_recordings(long_dir / "wav.scp"), read_segments(long_dir / "segments"),
                        read_list(long_dir / "text"))
    hypotheses: dict[str, str] = {}
    errors: list[dict[str, Any]] = []
    written: list[dict[str, Any]] = []
    seconds = audio_seconds = 0.0
    by_recording = _groups(spans)
    for recording in progress(by_recording, f"{system} in {runtime}", len(by_recording), "recording"):
        audio = load_audio(scp[recording])
        audio_seconds += len(audio) / SAMPLE_RATE
        for (language, tasks), of_tasks in _calls(by_recording[recording]):
            began = time.perf_counter()
            found = run(audio, language, tasks)
            seconds += time.perf_counter() - began
            for task in tasks:
                keys = sorted(of_tasks[task], key=lambda key: spans[key].start)
                said = " ".join(segment.text.strip() for segment in found[task])
                parts = resegment([text[key] for key in keys], said, text_language(language, task))
                hypotheses |= dict(zip(keys, parts, strict=True))
                errors.append(_errors(recording, language, task, [spans[key] for key in keys], found[task]))
                written += [{"recording": recording, "task": task, **segment._asdict()} for segment in found[task]]
    set_name = f"{long_dir.name}-{runtime}"
    directory = out_dir / f"decode_{set_name}_{system}"
    write_decode_directory(directory, hypotheses, {
        "system": system, "set": set_name, "runtime": runtime, "model": str(model_dir), "backend": runtime,
        "device": device, "compute_type": compute_type, "beam_size": 5, "seconds": round(seconds, 2),
        "audio_seconds": round(audio_seconds, 2)})
    write_json(directory / TIMES, errors)
    with atomic_open(directory / "segments.jsonl") as stream:
        stream.writelines(json.dumps(segment, ensure_ascii=False) + "\n" for segment in written)
    yield f"{directory}: {audio_seconds:.0f} s of audio in {seconds:.0f} s; {times_summary(errors)}"


def _groups(spans: dict[str, TimeSpan]) -> dict[str, list[str]]:
    found: defaultdict[str, list[str]] = defaultdict(list)
    for key, span in spans.items():
        found[span.recording].append(key)
    return found


def _calls(keys: Sequence[str]) -> Iterator[tuple[tuple[str, list[str]], dict[str, list[str]]]]:
    """Each language of a recording with its tasks, and the keys of each task."""
    found: defaultdict[str, defaultdict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for key in keys:
        parsed = parse_key(key)
        found[parsed.language][parsed.task].append(key)
    for language, of_tasks in found.items():
        yield (language, sorted(of_tasks)), of_tasks


def _errors(recording: str, language: str, task: str, spans: Sequence[TimeSpan],
            segments: Sequence[TimedText]) -> dict[str, Any]:
    found = time_errors([(span.start, span.end) for span in spans], segments)
    return {"recording": recording, "language": language, "task": task, "starts": found.starts, "ends": found.ends,
            "words_outside": found.words_outside}


def times_summary(errors: Sequence[dict[str, Any]]) -> str:
    """The errors of times as a sentence: median and 95th percentile, and the shares of starts that are near."""
    starts, ends = (np.array([error for one in errors for error in one[name]]) for name in ("starts", "ends"))
    near = ", ".join(f"{100 * np.mean(starts <= limit):.0f} % within {limit} s" for limit in NEAR_SECONDS)
    return (f"starts off by {np.median(starts):.2f} s (95 %: {np.percentile(starts, 95):.2f}), {near}; "
            f"ends by {np.median(ends):.2f} s")
