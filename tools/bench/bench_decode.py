#!/usr/bin/env python3
r"""Compare decoding both tasks of every utterance with faster-whisper and transformers, from audio files.

    tools/bench.sh decode
    tools/bench/bench_decode.py --merged exp/TAG/merged --ct2 exp/TAG/ct2_int8 --data data/test --beam-size 5
    tools/bench/bench_decode.py --only ours-ct2 faster-whisper --utterances 1000000 --beam-size 1 \
        --tasks transcribe --warm-up false --repetitions 1         # how many errors each makes on a whole test set

All have the same weights and beam, those on CTranslate2 the same compute type. Audio is read and features are made
within the time taken. faster-whisper's batched pipeline gets all utterances of a language and task in one call. The
others get the language and task of each, no timestamps, and their own defaults otherwise.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.bench.measure import Timing, bench_parser, report, spread_audio, take_turns
from utils.cli import boolean, run_main
from utils.data.lists import TASKS, parse_key, read_list
from utils.errors import UserError

Hypotheses = dict[str, str]
CONTESTANTS = ("ours-ct2", "ours-transformers", "faster-whisper", "faster-whisper-batched", "transformers")


def main() -> None:
    """Parse the options, measure, score, report."""
    exp = Path("exp/whisper-base_whisper_multitask")
    parser = bench_parser(__doc__, repetitions=3)
    parser.add_argument("--merged", type=Path, default=exp / "merged", help="the tuned model, for transformers")
    parser.add_argument("--ct2", type=Path, default=exp / "ct2_int8", help="the same for CTranslate2")
    parser.add_argument("--data", type=Path, default=Path("data/test"), help="data directory with wav.scp and text")
    parser.add_argument("--beam-size", type=int, nargs="+", default=[1, 5], help="one or more; 1 is greedy")
    parser.add_argument("--batch-size", type=int, default=16, help="of the peers that have batches")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS)
    parser.add_argument("--warm-up", type=boolean, default="true", metavar="true|false",
                        help="run each once before it is timed")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--only", nargs="+", choices=CONTESTANTS, default=CONTESTANTS)
    args = parser.parse_args()
    for path in (args.merged, args.ct2):
        if not path.is_dir():
            raise UserError(f"no directory {path}; run ./run.sh first, or name another")

    import torch

    from tools.bench import contestants

    torch.set_num_threads(args.threads)
    audio = {source: [key for key in keys if parse_key(key).task in args.tasks]
             for source, keys in spread_audio(args.data / "wav.scp", args.utterances).items()}
    references = read_list(args.data / "text")
    makers: dict[str, Callable[[int], Callable[[], Hypotheses]]] = {
        "ours-ct2": partial(contestants.ours_ct2, args, audio),
        "ours-transformers": partial(contestants.ours_transformers, args, audio),
        "faster-whisper": partial(contestants.faster_whisper_one_by_one, args, audio),
        "faster-whisper-batched": partial(contestants.faster_whisper_batched, args, audio),
        "transformers": partial(contestants.transformers_padded, args, audio),
    }
    timings: list[Timing] = []
    rows = []
    for beam_size in args.beam_size:
        found: dict[str, Hypotheses] = {}
        runs = {name: partial(_keep, found, name, makers[name](beam_size)) for name in args.only}
        for run in runs.values() if args.warm_up else ():
            run()
        timed = take_turns(runs, args.repetitions)
        for timing in timed:
            timing.more = {"beam_size": beam_size, **contestants.figures(references, found[timing.name])}
            rows.append([timing.name, beam_size, timing.median, timing.median / timed[0].median,
                         timing.more.get("wer"), timing.more.get("bleu")])
        timings += timed
    n_keys = sum(map(len, audio.values()))
    settings = {"files": len(audio), "targets": n_keys, "tasks": " ".join(args.tasks), "threads": args.threads,
                "device": args.device, "repetitions": args.repetitions, "batch size of peers": args.batch_size,
                "model": args.ct2}
    report("Decoding, all of each utterance's tasks, from audio files", {k: str(v) for k, v in settings.items()},
           ["", "beam", "seconds", "times ours", "WER", "BLEU"], rows, args.json, timings)


def _keep(found: dict[str, Hypotheses], name: str, run: Callable[[], Hypotheses]) -> None:
    found[name] = run()


if __name__ == "__main__":
    run_main(main)
