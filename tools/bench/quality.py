#!/usr/bin/env python3
"""Compare the quality of models trained in several ways on the same utterances, with the same seed and epochs.

    tools/bench/quality.py --ways shipped stock --utterances 200       # one pass and no padding, beside the usual way
    tools/bench/quality.py --ways none uniform-100 shipped log-uniform --utterances 1000000 --test data/dev

A way is a policy of padding in our training, or ``stock``: transformers' trainer with one padded example a key, which
takes some 2.9 s a target on two CPU cores. Each is decoded unpadded and at the 30-s window, greedily, by CTranslate2.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.bench.measure import Timing, bench_parser, report, spread_audio
from utils.cli import log, run_main
from utils.config import load_config
from utils.data.lists import read_list, write_list

ROOT = Path(__file__).resolve().parents[2]
_PADDING = "model.padding."
WAYS = {
    "shipped": [],
    "none": [f"{_PADDING}policy=none", f"{_PADDING}full_window_share=0"],
    "uniform-100": [f"{_PADDING}max_frames=100", f"{_PADDING}full_window_share=0"],
    "uniform-300": [f"{_PADDING}max_frames=300", f"{_PADDING}full_window_share=0"],
    "mixed-300": [f"{_PADDING}max_frames=300", f"{_PADDING}full_window_share=0.05",
                  f"{_PADDING}silence_positions=0"],
    "log-uniform": [f"{_PADDING}policy=log-uniform", f"{_PADDING}max_frames=2700", f"{_PADDING}full_window_share=0",
                    f"{_PADDING}silence_positions=0"],
    "stock": [],
}


def main() -> None:
    """Parse the options, train, decode, score."""
    parser = bench_parser(__doc__, repetitions=1)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=["shipped", "stock"])
    parser.add_argument("--train", type=Path, default=Path("data/train"), help="utterances are taken from it")
    parser.add_argument("--test", type=Path, default=Path("data/test"), help="data directory that is scored")
    parser.add_argument("--model", type=Path, default=Path("download/whisper-base"), help="Hugging Face directory")
    parser.add_argument("--config", type=Path, default=ROOT / "conf/whisper_multitask.yaml", help="what is trained")
    parser.add_argument("--quantization", default="int8", help="of the exports that are scored")
    parser.set_defaults(utterances=200)
    args = parser.parse_args()

    import torch

    from tools.bench.trainers import train_ours, train_stock

    torch.set_num_threads(args.threads)
    rows, timings = [], []
    with tempfile.TemporaryDirectory() as directory:
        subset = Path(directory) / "train"
        n_targets = _write_subset(args.train, args.utterances, subset)
        for way in args.ways:
            train = train_stock if way == "stock" else train_ours
            adapter = Path(directory) / way
            seconds = train(args.model, load_config(args.config, WAYS[way]), subset, adapter)
            log(f"{way}: trained {seconds:.0f} s")
            figures = {window: score(args.model, adapter, args.test, window, args.quantization)
                       for window in ("short", "full")}
            timings.append(Timing(way, [seconds], figures))
            rows.append([way, round(seconds), *(f"{value:.1f} [{low:.1f}, {high:.1f}]"
                                                for found in figures.values() for value, low, high in found.values())])
    report("Ways of training", {"targets": n_targets, "threads": args.threads, "scored on": args.test.name},
           ["", "training, s", "WER unpadded", "BLEU unpadded", "WER at 30 s", "BLEU at 30 s"], rows, args.json,
           timings)


def _write_subset(data: Path, n_utterances: int, subset: Path) -> int:
    """Lists of some utterances of a data directory, spread over it; returns the number of targets."""
    audio = spread_audio(data / "wav.scp", n_utterances)
    texts = read_list(data / "text")
    sources = {key: source for source, keys in audio.items() for key in keys}
    write_list(subset / "wav.scp", sources, verbatim=True)
    write_list(subset / "text", {key: texts[key] for key in sources})
    return len(sources)


def score(model: Path, adapter: Path, data: Path, window: str,
          quantization: str) -> dict[str, tuple[float, float, float]]:
    """WER and BLEU over all languages of a data directory, each with its 95 % interval.

    Args:
        model: the adapter's base.
        window: ``short`` or ``full``.
        quantization: of the export that is decoded with.
    """
    from utils.config import Lists, PredictConfig
    from utils.data.tokenizer import load_tokenizer
    from utils.decode.batches import decode_set, plan_batches
    from utils.decode.ct2_decoder import Ct2Decoder
    from utils.export import convert, merge
    from utils.features.feature_set import open_set
    from utils.features.log_mel import LogMel
    from utils.score.metrics import ScoringOptions, measure, pair_texts, results

    exported = adapter / "ct2"
    if not exported.exists():
        merge(adapter, model, adapter / "merged")
        convert(adapter / "merged", exported, quantization)
    utterances, read_feats = open_set(Lists(wav_scp=str(data / "wav.scp")), "test", LogMel(exported))
    decoder = Ct2Decoder(exported, load_tokenizer(exported), device="cpu")
    batches = plan_batches(utterances, decoder.max_frames, window, PredictConfig.tail_frames)
    hypotheses, seconds = decode_set(decoder, read_feats, batches)
    decode = {"system": adapter.name, "set": data.name, "seconds": seconds, "audio_seconds": 0}
    found = {}
    for measurement in measure(pair_texts(read_list(data / "text"), hypotheses), ScoringOptions()):
        if measurement.metric in ("wer", "bleu"):
            row = results(measurement, decode)[-1]
            found[measurement.metric] = (row["value"], *row["ci95"])
    return found


if __name__ == "__main__":
    run_main(main)
