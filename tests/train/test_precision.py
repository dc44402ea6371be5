"""bf16 where a CPU has it: chosen by a probe, with adapters in float32, and merged into the original weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from utils.config import Config, LoraOptions
from utils.model import cpu_bf16
from utils.model.checkpoints import load_base_model
from utils.model.lora import add_lora, cast_frozen
from utils.train.arguments import training_arguments
from utils.train.finetune import tune

ARGV = {"num_train_epochs": 1, "learning_rate": 1e-3, "logging_steps": 1}
no_gpu = pytest.mark.skipif(torch.accelerator.is_available(), reason="the probe is for CPUs")


@no_gpu
@pytest.mark.parametrize("fast", [True, False])
def test_the_probe_decides_unless_it_is_told(fast: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("utils.train.arguments.has_fast_bf16", lambda: fast)
    out = {"out_model_path": str(tmp_path)}
    assert training_arguments(out, has_dev_set=False).bf16 is fast
    assert training_arguments({**out, "bf16": not fast}, has_dev_set=False).bf16 is not fast


def test_the_probe_takes_about_a_second_and_gives_a_ratio() -> None:
    assert 0.001 < cpu_bf16.bf16_gain() < 100  # some CPUs emulate bf16 at a hundredth of the rate
    assert cpu_bf16.has_fast_bf16() is (cpu_bf16.bf16_gain() >= 1.5)


def test_frozen_weights_are_stored_in_bf16_and_adapters_in_float32(tiny_whisper: Path) -> None:
    model = add_lora(load_base_model(tiny_whisper), LoraOptions(r=4))
    cast_frozen(model, torch.bfloat16)
    kinds = {name: parameter.dtype for name, parameter in model.named_parameters()}
    assert {dtype for name, dtype in kinds.items() if "lora_" in name} == {torch.float32}
    assert {dtype for name, dtype in kinds.items() if "base_layer.weight" in name} == {torch.bfloat16}


@pytest.mark.slow
def test_training_in_bf16_learns_as_in_float32(recipe: Any, tmp_path: Path) -> None:
    losses = {}
    for name in ("float32", "bf16"):
        config: Config = recipe(name, eval_strategy="epoch", bf16=name == "bf16", max_steps=20)
        tune(config)
        losses[name] = json.loads((tmp_path / name / "train_summary.json").read_text())["best_dev_loss"]
        adapter = load_file(tmp_path / name / "adapter_model.safetensors")
        assert {weight.dtype for weight in adapter.values()} == {torch.float32}
    assert losses["bf16"] == pytest.approx(losses["float32"], rel=0.02)
