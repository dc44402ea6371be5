#!/usr/bin/env python3
"""Compare the recognizer with faster-whisper, which needs two passes, on one long recording and both tasks.

    tools/bench.sh transcribe
    tools/bench/bench_transcribe.py --ct2 exp/TAG/ct2_int8 --data data/test --language es --seconds 150

The recording is made of a set's utterances that have both tasks, in random order, with pauses of 0.3 to 1.5 s. All have
the same weights, compute type, beam and threads, silero's voice activity detection and the language; the peers have
their own defaults otherwise. Scores are those of the whole text against the references, one after the other.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

from tools.bench.measure import bench_parser, report, take_turns
from utils.audio.constants import SAMPLE_RATE
from utils.audio.loading import load_audio
from utils.cli import run_main
from utils.data.lists import TASKS, keys_by_audio, parse_key, read_list
from utils.errors import UserError

CONTESTANTS = ("ours", "faster-whisper-batched", "faster-whisper")


def main() -> None:
    """Parse the options, measure, score, report."""
    parser = bench_parser(__doc__, repetitions=3)
    parser.add_argument("--ct2", type=Path, default=Path("exp/whisper-base_whisper_multitask/ct2_int8"))
    parser.add_argument("--data", type=Path, default=Path("data/test"), help="data directory with wav.scp and text")
    parser.add_argument("--language", default="es", help="Whisper code of the utterances to take")
    parser.add_argument("--seconds", type=float, default=150.0, help="length of the recording")
    parser.add_argument("--window", choices=["auto", "short", "full"], default="auto", help="ours only")
    parser.add_argument("--beam-size", type=int, default=1, help="1 is greedy")
    parser.add_argument("--batch-size", type=int, default=8, help="of faster-whisper's batched pipeline")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--only", nargs="+", choices=CONTESTANTS, default=CONTESTANTS)
    args = parser.parse_args()
    audio, references = make_recording(args.data, args.language, args.seconds)

    from tools.bench import contestants

    makers = {"ours": contestants.recognizer, "faster-whisper-batched": contestants.long_batched,
              "faster-whisper": contestants.long_sequential}
    runs: dict[str, Callable[[], dict[str, str]]] = {name: makers[name](args, audio) for name in args.only}
    found = {name: run() for name, run in runs.items()}  # the first run warms up
    timings = take_turns(runs, args.repetitions)
    rows = []
    for timing in timings:
        hypotheses = {f"recording|{args.language}|{task}": text for task, text in found[timing.name].items()}
        timing.more = contestants.figures(references, hypotheses)
        rows.append([timing.name, timing.median, timing.median / timings[0].median, timing.more["wer"],
                     timing.more["bleu"]])
    report("One recording, transcribed and translated", _settings(args, audio),
           ["", "seconds", "times ours", "WER", "BLEU"], rows, args.json, timings)


def _settings(args: argparse.Namespace, audio: np.ndarray) -> dict[str, str]:
    return {"seconds of audio": f"{len(audio) / SAMPLE_RATE:.0f}", "model": str(args.ct2), "language": args.language,
            **{name: str(getattr(args, name)) for name in ("threads", "beam_size", "batch_size", "repetitions")}}


def make_recording(data: Path, language: str, seconds: float) -> tuple[np.ndarray, dict[str, str]]:
    """Samples (16 kHz) of so many seconds of utterances with pauses, and the text of each task's key.

    Raises:
        UserError: the set has no utterance of the language that has both tasks.
    """
    texts = read_list(data / "text")
    wanted = [(source, keys) for source, keys in keys_by_audio(read_list(data / "wav.scp", verbatim=True)).items()
              if len(keys) == len(TASKS) and parse_key(keys[0]).language == language]
    if not wanted:
        raise UserError(f"{data}: no utterance in {language} has both tasks; name another --language or --data")
    rng = np.random.default_rng(0)
    parts: list[np.ndarray] = []
    references: dict[str, list[str]] = {task: [] for task in TASKS}
    for index in rng.permutation(len(wanted)):
        source, keys = wanted[index]
        parts += [load_audio(source), np.zeros(round(SAMPLE_RATE * rng.uniform(0.3, 1.5)), np.float32)]
        for key in keys:
            references[parse_key(key).task].append(texts[key])
        if sum(map(len, parts)) >= seconds * SAMPLE_RATE:
            break
    return np.concatenate(parts), {f"recording|{language}|{task}": " ".join(said) for task, said in references.items()}


if __name__ == "__main__":
    run_main(main)
