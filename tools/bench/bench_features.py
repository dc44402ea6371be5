#!/usr/bin/env python3
"""Compare log-mel features with WhisperFeatureExtractor's: one job, one file at a time.

    tools/bench.sh features
    tools/bench/bench_features.py --wav-scp data/test/wav.scp --model download/whisper-base

Files are read by this recipe (libsndfile, FFmpeg) or by faster-whisper's decode_audio (FFmpeg), as each peer does.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.bench.measure import Timing, bench_parser, report, spread_audio, take_turns
from utils.cli import run_main


def main() -> None:
    """Parse the options, measure, report."""
    parser = bench_parser(__doc__, repetitions=5)
    parser.add_argument("--wav-scp", type=Path, default=Path("data/test/wav.scp"), help="list of a data directory")
    parser.add_argument("--model", type=Path, default=Path("download/whisper-base"), help="Hugging Face directory")
    parser.set_defaults(threads=1, utterances=80)
    args = parser.parse_args()

    import numpy as np
    import torch
    from faster_whisper import decode_audio
    from transformers import WhisperFeatureExtractor

    from utils.audio.constants import SAMPLE_RATE
    from utils.audio.loading import load_audio
    from utils.features.log_mel import LogMel

    torch.set_num_threads(args.threads)
    sources = list(spread_audio(args.wav_scp, args.utterances))
    clips = [load_audio(source) for source in sources]
    seconds = sum(map(len, clips)) / SAMPLE_RATE
    log_mel, extractor = LogMel(args.model), WhisperFeatureExtractor.from_pretrained(args.model)

    def stock(samples: np.ndarray) -> np.ndarray:
        return extractor(samples, sampling_rate=SAMPLE_RATE, return_tensors="np").input_features

    for source, clip in list(zip(sources, clips, strict=True))[:3]:  # the first calls are not counted
        log_mel(clip), stock(clip), decode_audio(source)
    without = take_turns({
        "this recipe": lambda: [log_mel(clip) for clip in clips],
        "WhisperFeatureExtractor": lambda: [stock(clip) for clip in clips],
    }, args.repetitions)
    included = take_turns({
        "this recipe, from files": lambda: [log_mel(load_audio(source)) for source in sources],
        "WhisperFeatureExtractor after our reader": lambda: [stock(load_audio(source)) for source in sources],
        "WhisperFeatureExtractor after decode_audio": lambda: [stock(decode_audio(source)) for source in sources],
    }, args.repetitions)

    def rows(timings: list[Timing]) -> list[list[object]]:
        return [[timing.name, seconds / timing.median, timing.median / timings[0].median] for timing in timings]

    settings = {"files": len(sources), "audio seconds": round(seconds, 1), "threads": args.threads,
                "repetitions": args.repetitions}
    report("Features", settings, ["", "audio s / s", "times ours"], rows(without) + rows(included), args.json,
           without + included)


if __name__ == "__main__":
    run_main(main)
