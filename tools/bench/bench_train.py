#!/usr/bin/env python3
"""Compare LoRA training steps with Hugging Face's Seq2SeqTrainer, whose input is padded to 30 s.

    tools/bench.sh train
    tools/bench/bench_train.py --data data/train --model download/whisper-base --steps 3
    tools/bench/bench_train.py --shapes large-v3 --device cuda     # random weights of a real model's shapes

``ours`` is as shipped: two fifths of the utterances are at the full window, so take some hundred --utterances or more;
``ours-short`` has none there. All have the same LoRA, the same audio and texts and as many targets a step; the stock
trainer has one example a key. Features are in memory before the first step. Each contestant is a process of its own,
so peak memory is its own. Operations are counted in steps that are not timed; element-wise ones are left out.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tools.bench.measure import Timing, bench_parser, report
from utils.cli import log, run_main
from utils.errors import UserError

CONTESTANTS = ("ours", "ours-short", "stock")


def main() -> None:
    """Parse the options; measure both in turn, each time in a new process, and report."""
    parser = bench_parser(__doc__, repetitions=2)
    parser.add_argument("--data", type=Path, default=Path("data/train"), help="data directory with wav.scp and text")
    parser.add_argument("--model", type=Path, default=Path("download/whisper-base"), help="Hugging Face directory")
    parser.add_argument("--shapes", choices=["small", "large-v3", "turbo"], help="random weights of these shapes; "
                        "tokenizer and generation settings are --model's")
    parser.add_argument("--config", type=Path, default=ROOT / "conf/whisper_multitask.yaml", help="what is trained")
    parser.add_argument("--steps", type=int, default=3, help="of the stock trainer, where all cost the same; ours, "
                        "whose batches differ, does a whole epoch. A step before them, or an epoch, is not counted")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--only", choices=CONTESTANTS, help="measure in this process, print JSON (what this calls)")
    parser.set_defaults(utterances=120)
    args = parser.parse_args()
    if args.only:
        from tools.bench.trainers import measure_training

        print(json.dumps(measure_training(args.only, args)))
        return
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in CONTESTANTS}
    with tempfile.TemporaryDirectory() as directory:
        if args.shapes:
            from tools.bench.random_whisper import write_random_whisper

            write_random_whisper(args.shapes, args.model, Path(directory))
            args.model = Path(directory)
        for repetition in range(args.repetitions):
            for name in CONTESTANTS:
                found = _measure_apart(name, args)
                found["seconds_per_target"] = found["seconds"] / found["targets"]
                rounds[name].append(found)
                log(f"round {repetition + 1}/{args.repetitions}: {name}: {found['seconds_per_target']:.3f} s a target")
    _report(rounds, args)


def _report(rounds: dict[str, list[dict[str, float]]], args: argparse.Namespace) -> None:
    def median(name: str, figure: str) -> float:
        return statistics.median(found[figure] for found in rounds[name])

    ours, stock = rounds["ours"][0], rounds["stock"][0]
    audio_per_target = ours["audio_seconds"] / ours["targets"]
    rows = []
    for name in CONTESTANTS:
        seconds, gflop = median(name, "seconds_per_target"), median(name, "gflop_per_target")
        rows.append([name, seconds, 1 / seconds, audio_per_target / seconds,
                     seconds / median("ours", "seconds_per_target"), gflop, gflop / seconds,
                     max(found["peak_gb"] for found in rounds[name])])
    rate = statistics.median(found["gflop_per_second"] for name in CONTESTANTS for found in rounds[name])
    settings = {"model": args.shapes or str(args.model), "device": args.device, "threads": args.threads,
                "targets a step": f"{ours['targets'] / ours['steps']:.1f} and {stock['targets'] / stock['steps']:.1f}",
                "steps": f"{ours['steps']:.0f} and {stock['steps']:.0f}", "repetitions": args.repetitions,
                "GFLOP / s of bare matrix products": f"{rate:.0f}"}
    timings = [Timing(name, [found["seconds"] for found in rounds[name]], {"rounds": rounds[name]})
               for name in CONTESTANTS]
    report("Training: forward, backward and optimizer step", settings,
           ["", "s / target", "targets / s", "audio s / s", "times ours", "GFLOP / target", "GFLOP / s",
            "peak memory, GB"], rows, args.json, timings, ("", ".3f", ".1f", ".1f", ".1f", ".1f", ".0f", ".1f"))


def _measure_apart(name: str, args: argparse.Namespace) -> dict[str, float]:
    command = [sys.executable, __file__, "--only", name]
    for option in ("threads", "utterances", "data", "model", "config", "steps", "device"):
        command += [f"--{option}", str(getattr(args, option))]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise UserError(f"the {name} contestant failed, see above")
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    run_main(main)
