"""A training that goes wrong stops in one line and leaves no model; wrong rates are warned of; time is all of it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from utils.config import Config, load_config
from utils.errors import UserError
from utils.report.sentences import training_lines
from utils.train.divergence import rate_warning, require_finite_weights
from utils.train.finetune import tune
from utils.train.trainer import MultitaskTrainer

ARGV = {"per_device_train_batch_size": 2, "max_steps": 4, "learning_rate": 0.001, "lr_scheduler_type": "constant",
        "logging_steps": 1, "eval_strategy": "steps", "eval_steps": 2, "use_cpu": True}


@pytest.fixture
def configure(corpus: Path, tiny_whisper: Path, tmp_path: Path) -> Any:
    """``configure(dev=..., **argv)``: a configuration of four steps whose results go to tmp_path/out."""
    def make(dev: bool = True, lora: bool = True, **argv: Any) -> Config:
        lists = {name: {"wav_scp": str(corpus / name / "wav.scp"), "text": str(corpus / name / "text")}
                 for name in ("train", "dev")}
        argv = {**ARGV, **({} if dev else {"eval_strategy": "no"}), **argv, "out_model_path": str(tmp_path / "out")}
        values = {"data": {"train": lists["train"], **({"test": lists["dev"]} if dev else {})},
                  "model": {"model_path": str(tiny_whisper), "is_large_model": lora, "lora": {"r": 4, "alpha": 8},
                            "model_train_argv": argv}}
        (tmp_path / "my.yaml").write_text(json.dumps(values), encoding="utf-8")
        return load_config(tmp_path / "my.yaml")

    return make


def refusal(config: Config) -> str:
    """How a training ends that must leave no model."""
    with pytest.raises(UserError) as caught:
        tune(config)
    directory = Path(config.model.model_train_argv["out_model_path"])
    assert not [path.name for path in directory.iterdir() if path.suffix == ".safetensors"]
    assert not (directory / "train_summary.json").exists()
    for weights in directory.glob("checkpoint-*/*.safetensors"):
        assert all(bool(torch.isfinite(tensor).all()) for tensor in load_file(weights).values()), weights
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("dev", [True, False])
def test_a_rate_that_is_far_too_high_leaves_no_model(configure: Any, dev: bool) -> None:
    said = refusal(configure(dev, learning_rate=1e30))
    assert "the training diverged: the loss is nan after step 1" in said
    assert "learning_rate, 1e+30 now" in said and said.endswith("no checkpoint is from before")


def test_the_development_loss_is_looked_at(configure: Any) -> None:
    assert "the loss on the development set is nan after step 1" in refusal(
        configure(learning_rate=1e30, max_steps=1, eval_steps=1))


def test_the_last_good_checkpoint_is_named(configure: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    compute_loss = MultitaskTrainer.compute_loss
    monkeypatch.setattr(MultitaskTrainer, "compute_loss", lambda self, *args, **kwargs: compute_loss(
        self, *args, **kwargs) * (float("inf") if self.state.global_step == 3 else 1))
    config = configure()
    said = refusal(config)
    assert "the loss is inf after step 3" in said
    assert said.endswith(f"{config.model.model_train_argv['out_model_path']}/checkpoint-2 is from before")


def test_gradients_are_looked_at_before_they_are_used(configure: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MultitaskTrainer, "_clip_grad_norm", lambda self, model: torch.tensor(float("inf")))
    assert "the gradient is inf after step 0" in refusal(configure())


def test_weights_are_looked_at_before_they_are_written(configure: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    train = MultitaskTrainer.train

    def spoil(self: MultitaskTrainer, *args: Any, **kwargs: Any) -> None:
        train(self, *args, **kwargs)
        next(weight for weight in self.model.parameters() if weight.requires_grad).data[0] = float("nan")

    monkeypatch.setattr(MultitaskTrainer, "train", spoil)
    said = refusal(configure())
    assert "the training diverged: the weight " in said and "checkpoint-4 is from before" in said


def test_only_weights_that_train_count() -> None:
    model = torch.nn.Linear(2, 2)
    model.bias.requires_grad_(False)
    model.bias.data[0] = float("nan")
    require_finite_weights(model, None, None)  # no complaint needs arguments and state


@pytest.mark.parametrize(("rate", "full_tuning", "warned"), [
    (5e-4, True, True), (1e-4, True, True), (1e-5, True, False), (5e-4, False, False)])
def test_loras_rate_for_all_weights_is_warned_of(rate: float, full_tuning: bool, warned: bool) -> None:
    assert bool(rate_warning(rate, full_tuning)) == warned


def test_the_warning_is_said_before_the_training(configure: Any, capfd: pytest.CaptureFixture[str]) -> None:
    tune(configure(lora=False, learning_rate=5e-4, max_steps=1))
    assert "learning_rate is 0.0005, but model.is_large_model is false" in capfd.readouterr().err


def test_without_a_development_set_the_last_step_is_kept(configure: Any, capfd: pytest.CaptureFixture[str]) -> None:
    config = configure(dev=False)
    tune(config)
    directory = Path(config.model.model_train_argv["out_model_path"])
    summary = json.loads((directory / "train_summary.json").read_text())
    assert (summary["best_step"], summary["steps"], summary["best_dev_loss"]) == (4, 4, None)
    assert "last step: 4" in list(training_lines(summary))
    assert (directory / "adapter_model.safetensors").is_file() and (directory / "loss.png").is_file()
    assert {path.name for path in directory.glob("checkpoint-*")} == {"checkpoint-2", "checkpoint-4"}  # to go on from
    assert "; the last one is kept; written to" in capfd.readouterr().err


def test_training_time_counts_from_the_start(configure: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    step = MultitaskTrainer.training_step
    monkeypatch.setattr(MultitaskTrainer, "training_step",
                        lambda self, *args, **kwargs: (time.sleep(0.5), step(self, *args, **kwargs))[1])
    config = configure(dev=False, logging_steps=4)
    started = time.monotonic()
    tune(config)
    took = time.monotonic() - started
    summary = Path(config.model.model_train_argv["out_model_path"]) / "train_summary.json"
    assert 2.0 <= json.loads(summary.read_text())["train_seconds"] <= took + 0.1
