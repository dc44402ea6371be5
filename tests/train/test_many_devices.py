"""Several processes train and decode as one would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from utils import ROOT
from utils.config import PaddingOptions, load_config
from utils.decode.decode_directory import join_decode_parts
from utils.errors import UserError
from utils.train.batching import FrameBatchSampler, make_divisible
from utils.train.finetune import tune

# One step with all 8 utterances; plain gradient descent, so that the update is the gradient.
ARGV = {"max_steps": 1, "optim": "sgd", "learning_rate": 0.1, "max_grad_norm": 0.0, "lr_scheduler_type": "constant",
        "logging_steps": 1, "eval_strategy": "steps", "eval_steps": 1, "use_cpu": True}


def write_config(path: Path, corpus: Path, model: Path, *, is_large_model: bool = True, policy: str = "none",
                 padding: dict[str, float] | None = None, **argv: Any) -> Path:
    lists = {name: {"wav_scp": str(corpus / name / "wav.scp"), "text": str(corpus / name / "text")}
             for name in ("train", "dev")}
    values = {"data": {"train": lists["train"], "test": lists["dev"]},
              "predict": {"model_path": str(model), "eval": lists["train"], "max_frames": 100},
              "model": {"model_path": str(model), "is_large_model": is_large_model, "lora": {"r": 4, "alpha": 8},
                        "padding": {"policy": policy, **(padding or {})},
                        "model_train_argv": {"out_model_path": str(path.with_suffix("")), "bf16": False,
                                             **ARGV, **argv}}}
    path.write_text(json.dumps(values), encoding="utf-8")
    return path


def run(name: str, *arguments: object, folder: Path = ROOT / "pyscripts") -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, folder / name, *map(str, arguments)], capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}, timeout=900)


# Trains as several configurations say, one after the other, in two processes: starting them is what takes long.
TRAIN_EACH = """
import sys
from utils.cli import run_main
from utils.config import load_config
from utils.train.launch import is_launched, launch
from utils.train.finetune import tune
def main():
    if not is_launched():
        return launch(2, 1, sys.argv)
    for path in sys.argv[1:]:
        tune(load_config(path))
run_main(main)
"""


@pytest.mark.slow
def test_two_processes_make_the_update_of_one_with_the_same_global_batch(corpus, tiny_whisper, tmp_path):
    """With LoRA, with all weights, and with batches so long that one process computes its own in more parts."""
    kinds = {"lora": "adapter_model.safetensors", "full": "model.safetensors", "parts": "adapter_model.safetensors"}

    def configs(number: int) -> list[Path]:
        return [write_config(tmp_path / f"{kind}-{number}.yaml", corpus, tiny_whisper, is_large_model=kind != "full",
                             policy="full" if kind == "parts" else "none",
                             per_device_train_batch_size=8 if number == 1 else 5) for kind in kinds]

    for config in configs(1):
        tune(load_config(config))
    (tmp_path / "train_each.py").write_text(TRAIN_EACH)
    done = run("train_each.py", *configs(2), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    base = load_file(tiny_whisper / "model.safetensors")
    for kind, weights in kinds.items():
        left, right = (load_file(tmp_path / f"{kind}-{number}" / weights) for number in (1, 2))
        updates = [(weight - base.get(name, 0)).abs().max() for name, weight in left.items() if "lora_A" not in name]
        assert max(updates) > 1e-4
        for name, weight in left.items():
            torch.testing.assert_close(weight, right[name], rtol=1e-4, atol=1e-7)
        one, two = (json.loads((tmp_path / f"{kind}-{number}/train_summary.json").read_text()) for number in (1, 2))
        assert (one["processes"], two["processes"]) == (1, 2)
        assert one["best_dev_loss"] == pytest.approx(two["best_dev_loss"], rel=1e-5)


# Trains in two processes, of which the second dies, as by a power cut, in the step after step argv[2].
KILLED = """
import os, signal, sys
from utils.cli import run_main
from utils.config import load_config
from utils.train.launch import is_launched, launch
from utils.train.trainer import MultitaskTrainer
from utils.train.finetune import tune
step = MultitaskTrainer.training_step
def fatal(self, *args, **kwargs):
    if (self.args.process_index, self.state.global_step) == (1, int(sys.argv[2])):
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, *args, **kwargs)
MultitaskTrainer.training_step = fatal
run_main(lambda: tune(load_config(sys.argv[1])) if is_launched() else launch(2, 1, sys.argv))
"""


@pytest.mark.slow
def test_a_process_that_dies_fails_the_training_and_the_same_command_continues_it(corpus, tiny_whisper, tmp_path):
    argv = {"max_steps": 6, "per_device_train_batch_size": 2, "eval_steps": 2, "optim": "adamw_torch"}
    padding = {"full_window_share": 0.5, "silence_positions": 32}
    whole, killed = (write_config(tmp_path / f"{name}.yaml", corpus, tiny_whisper, padding=padding, **argv)
                     for name in ("whole", "killed"))
    (tmp_path / "train_and_die.py").write_text(KILLED)
    died = run("train_and_die.py", killed, 5, folder=tmp_path)
    assert died.returncode == 1
    assert "error: process 1 ended with exit code -9" in died.stderr.splitlines()[-1]
    assert not (tmp_path / "killed/train_summary.json").exists()
    for config in (whole, killed):
        done = run("train.py", "--config", config, "--ngpu", 2)
        assert done.returncode == 0, done.stderr
    assert "continuing from" in done.stderr and done.stderr.count("continuing from") == 1, "one process speaks"
    left, right = (load_file(tmp_path / name / "adapter_model.safetensors") for name in ("whole", "killed"))
    assert [name for name in left if not torch.equal(left[name], right[name])] == []


def test_processes_do_not_outlive_a_launcher_that_is_killed():
    worker = "import time; from utils.train.launch import exit_with_launcher as start; start(); " \
             "print('runs', flush=True); time.sleep(10); print('survived')"
    launcher = subprocess.Popen(["bash", "-c", '"$0" -c "$1" & wait', sys.executable, worker], cwd=ROOT,
                                stdout=subprocess.PIPE)
    assert launcher.stdout.readline() == b"runs\n"
    launcher.kill()
    assert launcher.stdout.read() == b""
    launcher.wait()


@pytest.mark.slow
def test_a_mistake_in_several_processes_is_said_and_fails(corpus, tiny_whisper, tmp_path):
    config = write_config(tmp_path / "x.yaml", corpus, tiny_whisper)
    done = run("train.py", "--config", config, "--ngpu", 2, "--set", "model.lora.target_modules=[nothing]")
    assert done.returncode == 1
    assert "no layer nothing" in done.stderr
    assert "train.py: error: process" in done.stderr.splitlines()[-1]
    done = run("train.py", "--config", config, "--num-nodes", 2)
    assert "several machines need Slurm" in done.stderr


def sampler(rank: int, num_ranks: int, frames: np.ndarray, **options: Any) -> FrameBatchSampler:
    padding = PaddingOptions(policy="uniform", max_frames=200)
    return FrameBatchSampler(frames, 4000, padding, seed=3, rank=rank, num_ranks=num_ranks, **options)


@pytest.mark.parametrize("num_ranks", [2, 3, 8])
def test_ranks_share_an_epoch_evenly(num_ranks):
    frames = np.random.default_rng(0).integers(100, 2000, 401)
    ranks = [sampler(rank, num_ranks, frames) for rank in range(num_ranks)]
    for epoch in (0, 1):
        for rank in ranks:
            rank.set_epoch(epoch)
        shares = [list(rank) for rank in ranks]
        assert len({len(share) for share in shares}) == 1 == len({len(rank) for rank in ranks})
        assert len(shares[0]) == len(ranks[0])
        seen = [index for share in shares for batch in share for index, _, _ in batch]
        assert sorted(seen) == list(range(401)), "every utterance once"
        for step in zip(*shares, strict=True):
            assert len({padded for batch in step for _, padded, _ in batch}) == 1, "nobody waits for a longer batch"


def test_evaluation_shares_the_same_batches_out():
    frames = np.random.default_rng(0).integers(100, 2000, 101)
    whole = list(sampler(0, 1, frames, shuffle=False))
    shares = [list(sampler(rank, 2, frames, shuffle=False)) for rank in range(2)]
    assert sorted(shares[0] + shares[1]) == sorted(whole)


def test_batches_are_halved_before_any_comes_twice():
    assert make_divisible([[1, 2, 3, 4], [5]], 3) == [[1, 2], [3, 4], [5]]
    assert make_divisible([[1], [2]], 4) == [[1], [2], [2], [2]]


@pytest.mark.slow
def test_any_number_of_jobs_gives_the_same_hypotheses(corpus, tiny_whisper, tmp_path):
    config = write_config(tmp_path / "x.yaml", corpus, tiny_whisper)
    single, joint = tmp_path / "single", tmp_path / "joint"
    assert run("predict.py", "--config", config, "--decode-dir", single).returncode == 0
    for job in (1, 2, 3):
        done = run("predict.py", "--config", config, "--decode-dir", joint, "--job", job, "--num-jobs", 3)
        assert done.returncode == 0, done.stderr
    done = run("predict.py", "--decode-dir", joint, "--num-jobs", 3, "--combine", "true")
    assert done.returncode == 0, done.stderr
    assert (joint / "text").read_bytes() == (single / "text").read_bytes()
    infos = [json.loads((path / "decode.json").read_text()) for path in (single, joint)]
    assert infos[0].keys() == infos[1].keys()
    assert infos[0]["audio_seconds"] == infos[1]["audio_seconds"]
    assert sorted(path.name for path in joint.iterdir()) == ["decode.json", "text"]


def test_parts_that_are_missing_or_of_another_decoding_are_not_joined(tmp_path):
    for job, n_keys in ((1, 1), (2, 7)):
        part = tmp_path / f"part.{job}"
        part.mkdir()
        (part / "text").write_text(f"{job}|fr|transcribe salut\n", encoding="utf-8")
        (part / "decode.json").write_text(json.dumps({"num_jobs": 2, "n_keys": n_keys, "seconds": 1,
                                                      "audio_seconds": 1}))
    with pytest.raises(UserError, match="not from one decoding with 2 jobs"):
        join_decode_parts(tmp_path, 2)
    with pytest.raises(UserError, match=r"part\.3: is not complete"):
        join_decode_parts(tmp_path, 3)
