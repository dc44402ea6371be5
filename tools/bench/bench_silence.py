#!/usr/bin/env python3
"""Measure how much a sample of the silence changes outputs, when training pads to 30 s (model/sampled_silence.py).

    tools/bench.sh silence
    tools/bench/bench_silence.py --model exp/TAG/merged --counts 64 128     # in a tuned model

Each utterance goes through the encoder with the whole window, with samples of its silence, and cut half a second after
the speech. Compared with the whole window: the encoder's outputs where the speech is (cosine similarity), and the
distribution of each next token (Kullback-Leibler divergence in nats; per cent of tokens whose best guess is the same).
The loss is the references' cross entropy, in nats a token.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.bench.measure import Timing, bench_parser, report, spread_audio
from utils.audio.constants import FULL_WINDOW
from utils.audio.loading import load_audio
from utils.cli import run_main
from utils.data.lists import read_list
from utils.data.tokenizer import load_tokenizer
from utils.features.feature_set import Utterance
from utils.features.log_mel import LogMel
from utils.train.batching import Item
from utils.train.dataset import MultitaskDataset

_FIGURES = ("positions", "cosine", "divergence", "same", "loss")
TAIL = 50  # frames that decoding adds to a short window


def main() -> None:
    """Parse the options, compare, report."""
    parser = bench_parser(__doc__, repetitions=1)
    parser.add_argument("--data", type=Path, default=Path("data/dev"), help="data directory with wav.scp and text")
    parser.add_argument("--model", type=Path, default=Path("download/whisper-base"), help="Hugging Face directory")
    parser.add_argument("--counts", type=int, nargs="+", default=[48, 64, 96, 128, 256],
                        help="positions of the samples")
    args = parser.parse_args()

    import torch

    torch.set_num_threads(args.threads)
    rows, timings = [], []
    for name, found in compare(args.model, args.data, args.utterances, args.counts).items():
        timings.append(Timing(name, [found.pop("seconds")], found))
        rows.append([name, *(found[figure] for figure in _FIGURES), timings[-1].median])
    report("Silence, and samples of it", {"model": str(args.model), "utterances": args.utterances},
           ["window", *_FIGURES, "seconds, forward"], rows, args.json, timings, floatfmt=".3f")


def compare(model_dir: Path, data: Path, utterances: int, counts: list[int]) -> dict[str, dict[str, float]]:
    """The measurements by way of padding; means over utterances (positions, cosine) and tokens (the rest)."""
    import torch

    from utils.model.checkpoints import load_base_model
    from utils.train.dataset import MultitaskCollator

    model, dataset = load_base_model(model_dir).eval(), _dataset(model_dir, data, utterances)
    samples = {f"sample of {count}": (FULL_WINDOW, count) for count in counts}
    ways = {"whole": (FULL_WINDOW, 0), **samples, "cut": (0, 0)}
    figures = {name: dict.fromkeys((*_FIGURES, "seconds"), 0.0) for name in ways}
    tokens = 0
    with torch.inference_mode():
        for index, num_frames in enumerate(dataset.num_frames):
            outputs: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
            for name, (window, count) in ways.items():
                collate = MultitaskCollator(model.config.eos_token_id, count)
                batch = collate([dataset[Item(index, window or num_frames + TAIL)]])
                started = time.perf_counter()
                encoded = model.model.encoder(batch["input_features"], silence=batch["silence"]).last_hidden_state
                found = model(**batch, encoder_hidden_states=encoded, return_logits=True)
                figures[name]["seconds"] += time.perf_counter() - started
                figures[name]["loss"] += float(found.loss)
                outputs[name] = encoded, found.logits.log_softmax(-1)
            whole, expected = outputs["whole"]
            tokens += len(expected)
            for name, (encoded, probable) in outputs.items():
                speech = slice(num_frames // 2)
                cosine = torch.nn.functional.cosine_similarity(encoded[:, speech], whole[:, speech], dim=-1)
                figures[name]["positions"] += encoded.shape[1] / len(dataset)
                figures[name]["cosine"] += float(cosine.mean()) / len(dataset)
                figures[name]["divergence"] += float((expected.exp() * (expected - probable)).sum())
                figures[name]["same"] += 100 * int((expected.argmax(-1) == probable.argmax(-1)).sum())
    for figure in figures.values():
        for of_tokens in ("divergence", "same", "loss"):
            figure[of_tokens] /= tokens
    return figures


def _dataset(model_dir: Path, data: Path, utterances: int) -> MultitaskDataset:
    log_mel = LogMel(model_dir)
    audio = spread_audio(data / "wav.scp", utterances)
    feats = {source: log_mel(load_audio(source)) for source in audio}
    return MultitaskDataset([Utterance(source, len(feats[source]), keys) for source, keys in audio.items()],
                            feats.__getitem__, read_list(data / "text"), load_tokenizer(model_dir))


if __name__ == "__main__":
    run_main(main)
