#!/usr/bin/env python3
"""Is the fast way as good? The same utterances, seed and epochs, trained our way and the stock way, then scored.

    tools/bench/quality.py --utterances 200 --json exp/bench/quality.json

The stock way (a padded example a key) is decoded at the 30-s window it was trained on, ours unpadded and at 30 s, both
greedily with CTranslate2 in float32. It takes some 2.5 s a target on two CPU cores.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.bench.measure import Timing, bench_parser, keys_by_audio, report
from utils.cli import log, run_main
from utils.lists import read_list, write_list

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    """Parse the options, train both, decode, score."""
    parser = bench_parser(__doc__, repetitions=1)
    parser.add_argument("--train", type=Path, default=Path("data/train"), help="utterances are taken from it")
    parser.add_argument("--test", type=Path, default=Path("data/test"), help="data directory that is scored")
    parser.add_argument("--model", type=Path, default=Path("download/whisper-base"), help="Hugging Face directory")
    parser.add_argument("--config", type=Path, default=ROOT / "conf/whisper_multitask.yaml", help="what is trained")
    parser.set_defaults(utterances=200)
    args = parser.parse_args()

    import torch

    from tools.bench import trainers

    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        subset = work / "train"
        audio = keys_by_audio(args.train / "wav.scp", args.utterances)
        texts = read_list(args.train / "text")
        keys = sorted((key, source) for source, keys in audio.items() for key in keys)
        write_list(subset / "wav.scp", dict(keys), verbatim=True)
        write_list(subset / "text", {key: texts[key] for key, _ in keys})
        seconds = {}
        for name, train in (("ours", trainers.train_ours), ("stock", trainers.train_stock)):
            seconds[name] = train(args.model, args.config, subset, work / name)
            log(f"{name}: trained {seconds[name]:.0f} s")
        rows, timings = [], []
        for name, window in (("ours", "short"), ("ours", "full"), ("stock", "full")):
            figures = _score(args, work / name, window)
            timings.append(Timing(f"{name}, {window} window", [seconds[name]], figures))
            rows.append([timings[-1].name, seconds[name], *(f"{value:.1f} [{low:.1f}, {high:.1f}]"
                                                            for value, low, high in figures.values())])
    report("Quality: one encoder pass and no padding, beside one padded example a key",
           {"utterances": len(audio), "targets": len(keys), "threads": args.threads, "test": str(args.test)},
           ["", "training, s", "WER", "BLEU"], rows, args.json, timings)


def _score(args: argparse.Namespace, adapter: Path, window: str) -> dict[str, tuple[float, float, float]]:
    """WER and BLEU over all languages, each with its 95 % interval."""
    from utils.config import Lists
    from utils.ct2_decoding import Ct2Decoder
    from utils.decoding import decode_set, plan_batches
    from utils.export import convert, merge
    from utils.features import LogMel
    from utils.multitask_data import open_set
    from utils.prompts import load_tokenizer
    from utils.scoring import ScoringOptions, measure, pair_texts, results

    exported = adapter / "ct2"
    if not exported.exists():
        merge(adapter, args.model, adapter / "merged")
        convert(adapter / "merged", exported, "float32")
    utterances, read_feats = open_set(Lists(wav_scp=str(args.test / "wav.scp")), "test", LogMel(exported))
    decoder = Ct2Decoder(exported, load_tokenizer(exported), device="cpu")
    hypotheses, seconds = decode_set(decoder, read_feats, plan_batches(utterances, 24_000, window))
    decode = {"system": adapter.name, "set": args.test.name, "seconds": seconds, "audio_seconds": 0}
    found = {}
    for measurement in measure(pair_texts(read_list(args.test / "text"), hypotheses), ScoringOptions()):
        if measurement.metric in ("wer", "bleu"):
            row = results(measurement, decode)[-1]
            found[measurement.metric] = (row["value"], *row["ci95"])
    return found


if __name__ == "__main__":
    run_main(main)
