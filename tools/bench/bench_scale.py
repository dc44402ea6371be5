#!/usr/bin/env python3
"""Measure the cost of lists by their length: merging, opening for training, and a training step.

    tools/bench.sh scale
    tools/bench/bench_scale.py --num-keys 1000 1000000 --model download/whisper-base --plot scale.png

The lists are made up: two tasks an utterance, all features the same 3 s in arks of 100 matrices, so that a step has as
much to compute whatever the list's length. Audio headers are not read. Each length is measured in processes of its own.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tools.bench.measure import Timing, bench_parser, report
from utils.cli import log, run_main
from utils.errors import UserError
from utils.filesystem import atomic_open

_FRAMES, _MATRICES = 300, 100
_STEPS = 12  # of which the first three are not counted
_COLUMNS = ("merge, s", "merge, GB", "open, s", "open, GB", "first step after, s", "step, s")


def main() -> None:
    """Parse the options; measure each length in new processes; report and plot."""
    parser = bench_parser(__doc__, repetitions=1)
    parser.add_argument("--num-keys", type=int, nargs="+", default=[1_000, 10_000, 100_000, 1_000_000], metavar="N")
    parser.add_argument("--model", type=Path, default=Path("download/whisper-base"), help="Hugging Face directory")
    parser.add_argument("--config", type=Path, default=ROOT / "conf/whisper_multitask.yaml", help="what is trained")
    parser.add_argument("--plot", type=Path, help="a PNG of the table")
    parser.add_argument("--only", choices=["merge", "train"], help="measure in this process, print JSON")
    args = parser.parse_args()
    if args.only:
        num_keys = args.num_keys[0]
        measured = _merge(num_keys) if args.only == "merge" else _train(num_keys, args)
        measured["peak_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(json.dumps(measured))
        return
    rows, timings = [], []
    for num_keys in args.num_keys:
        merge, train = (_apart(what, num_keys, args) for what in ("merge", "train"))
        figures = (merge["seconds"], merge["peak_gb"], train["open"], train["open_gb"], train["first_step"],
                   train["step"])
        log(f"{num_keys} keys: " + ", ".join(f"{name} {value:.2f}" for name, value in zip(_COLUMNS, figures,
                                                                                          strict=True)))
        rows.append([f"{num_keys:,}", *figures])
        timings.append(Timing(str(num_keys), [train["step"]], {"merge": merge, "train": train}))
    report("Cost against the number of keys", {"model": args.model.name, "threads": args.threads},
           ["keys", *_COLUMNS], rows, args.json, timings)
    if args.plot:
        _plot(args.num_keys, rows, args.plot)


def _apart(what: str, num_keys: int, args: argparse.Namespace) -> dict[str, float]:
    command = [sys.executable, __file__, "--only", what, "--num-keys", str(num_keys), "--threads", str(args.threads),
               "--model", str(args.model), "--config", str(args.config)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise UserError(f"{what} of {num_keys} keys failed, see above")
    return json.loads(done.stdout.splitlines()[-1])


def _utterance(number: int) -> str:
    return f"speaker{number // 200:05}-{number:09}"


def _write(path: Path, values: Iterator[tuple[str, str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as stream:
        stream.writelines(f"{key} {value}\n" for key, value in values)


def _merge(num_keys: int) -> dict[str, float]:
    from utils.data.data_directory import MergeOptions, merge_task_lists, write_data_directory
    from utils.data.lists import TASKS

    with tempfile.TemporaryDirectory() as folder:
        for task in TASKS:
            for name, value in (("wav.scp", "/corpus/audio/{}.flac"), ("text", "some words as people say them, {}")):
                _write(Path(folder) / task / name, ((f"{_utterance(n)}|fr|{task}", value.format(n))
                                                    for n in range(num_keys // 2)))
        with _clock() as seconds:
            write_data_directory(Path(folder), merge_task_lists(Path(folder), MergeOptions(check_audio=False)))
    return {"seconds": seconds[0]}


def _train(num_keys: int, args: argparse.Namespace) -> dict[str, float]:
    import torch

    from tools.bench.trainers import StepTimer
    from utils.config import load_config
    from utils.data.tokenizer import load_tokenizer
    from utils.model.checkpoints import load_base_model
    from utils.model.lora import add_lora, fuse_lora
    from utils.train.arguments import training_arguments
    from utils.train.trainer import make_trainer

    torch.set_num_threads(args.threads)
    config = load_config(args.config, ["model.padding.policy=none", "model.padding.full_window_share=0"])
    tokenizer = load_tokenizer(args.model)
    with tempfile.TemporaryDirectory() as folder:
        _write_set(Path(folder), num_keys, args.model)
        with _clock() as opening:
            dataset = _open(Path(folder), args.model, tokenizer)
        open_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        model = add_lora(load_base_model(args.model), config.model.lora)
        fuse_lora(model)
        argv = {**config.model.model_train_argv, "out_model_path": folder, "max_steps": _STEPS, "eval_strategy": "no",
                "save_strategy": "no", "report_to": "none", "disable_tqdm": True, "use_cpu": True}
        timer = StepTimer("cpu")
        with _clock() as training:
            trainer = make_trainer(model, dataset, None, tokenizer.eos_token_id, training_arguments(argv, False),
                                   config.model, 0)
            trainer.add_callback(timer)
            trainer.train()
    return {"open": opening[0], "open_gb": open_gb, "first_step": training[0] - sum(timer.seconds),
            "step": statistics.median(timer.seconds[3:])}


def _write_set(directory: Path, num_keys: int, model: Path) -> None:
    import kaldiio
    import numpy as np

    from utils.data.lists import TASKS
    from utils.features.log_mel import LogMel

    matrix = np.random.default_rng(0).normal(0, 0.5, (_FRAMES, LogMel(model).num_mels)).astype(np.float32)
    kaldiio.save_ark(str(directory / "feats.0.ark"), {f"m{n:03}": matrix for n in range(_MATRICES)},
                     scp=str(directory / "matrices.scp"))
    offsets = [line.rpartition(":")[2] for line in (directory / "matrices.scp").read_text().splitlines()]
    keys = [(f"{_utterance(n)}|fr|{task}", n) for n in range(num_keys // 2) for task in TASKS]
    for ark in range(1, num_keys // 2 // _MATRICES + 1):  # as many as a corpus of this size may have, all the same
        (directory / f"feats.{ark}.ark").symlink_to("feats.0.ark")
    _write(directory / "feats.scp", ((key, f"{directory}/feats.{n // _MATRICES}.ark:{offsets[n % _MATRICES]}")
                                     for key, n in keys))
    _write(directory / "utt2num_frames", ((key, str(_FRAMES)) for key, _ in keys))
    _write(directory / "text", ((key, f"some words as people say them, {n}") for key, n in keys))


def _open(directory: Path, model: Path, tokenizer: Any) -> Any:
    from utils.config import Lists
    from utils.data.lists import read_list
    from utils.features.feature_set import open_set
    from utils.features.log_mel import LogMel
    from utils.train.dataset import MultitaskDataset

    utterances, read_feats = open_set(Lists(feats_scp=str(directory / "feats.scp")), "data.train", LogMel(model))
    return MultitaskDataset(utterances, read_feats, read_list(directory / "text"), tokenizer)


@contextmanager
def _clock() -> Iterator[list[float]]:
    seconds: list[float] = []
    began = time.perf_counter()
    yield seconds
    seconds.append(time.perf_counter() - began)


def _plot(num_keys: list[int], rows: list[list[Any]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axis = figure.subplots()
    for number, name in enumerate(_COLUMNS, start=1):
        if name.endswith(", s"):
            axis.loglog(num_keys, [row[number] for row in rows], "o-", label=name.removesuffix(", s"))
    axis.set_xlabel("keys")
    axis.set_ylabel("seconds")
    axis.grid(alpha=0.3)
    axis.legend()
    with atomic_open(path, "wb") as stream:
        figure.savefig(stream, format="png", dpi=120)


if __name__ == "__main__":
    run_main(main)
