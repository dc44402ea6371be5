"""Options of model_train_argv and of the base model's config.json in a whole training of a tiny model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from utils.config import Config
from utils.errors import UserError
from utils.model.modeling import ShortContextEncoder
from utils.train import finetune
from utils.train.argument_lists import HARMLESS
from utils.train.finetune import tune
from utils.train.records import training_history
from utils.train.resume import require_same_processes

pytestmark = pytest.mark.usefixtures("one_thread")

ADAPTER = "adapter_model.safetensors"
ARGV = {"per_device_train_batch_size": 2, "max_steps": 2, "learning_rate": 0.01, "logging_steps": 1,
        "eval_strategy": "no", "use_cpu": True}


def trained(config: Config) -> dict[str, torch.Tensor]:
    """Train; the adapter's weights."""
    tune(config)
    return load_file(Path(config.model.model_train_argv["out_model_path"]) / ADAPTER)


def same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    assert left.keys() == right.keys()
    return all(torch.equal(left[name], right[name]) for name in left)


def test_harmless_options_change_nothing(recipe: Any) -> None:
    options = {"do_train": True, "do_eval": True, "do_predict": True, "generation_max_length": 5,
               "prediction_loss_only": True, "eval_do_concat_batches": False, "eval_accumulation_steps": 2,
               "eval_use_gather_object": True, "sortish_sampler": True, "length_column_name": "x",
               "remove_unused_columns": True, "label_names": ["x"], "local_rank": 3}
    assert options.keys() == HARMLESS.keys()
    argv = {"eval_strategy": "steps", "eval_steps": 1}
    assert same(trained(recipe("plain", **argv)), trained(recipe("options", **argv, **options)))


@pytest.mark.parametrize("options", [
    {"data_seed": 5}, {"neftune_noise_alpha": 5.0}, {"weight_decay": 0.5}, {"label_smoothing_factor": 0.2},
    {"adam_beta1": 0.1}, {"lr_scheduler_type": "cosine_with_min_lr", "lr_scheduler_kwargs": {"min_lr": "1e-3"}},
    {"per_gpu_train_batch_size": 3, "per_device_train_batch_size": None},
])
def test_honoured_options_change_the_result(recipe: Any, options: dict[str, Any]) -> None:
    assert not same(trained(recipe("plain")), trained(recipe("options", **options)))


def test_loading_in_other_ways_gives_the_same_result(recipe: Any) -> None:
    """Two epochs, so that workers that persist are used twice."""
    loading = {"dataloader_num_workers": 1, "dataloader_persistent_workers": True, "dataloader_prefetch_factor": 3}
    argv = {"max_steps": 6, "eval_strategy": "steps", "eval_steps": 3}
    assert same(trained(recipe("plain", **argv)), trained(recipe("workers", **argv, **loading)))


@pytest.mark.parametrize("options", [{"every_n_layers": 2}, {"use_reentrant": False}])
def test_checkpointing_options_work(recipe: Any, options: dict[str, Any]) -> None:
    frugal = trained(recipe("frugal", gradient_checkpointing=True, gradient_checkpointing_kwargs=options))
    for name, weight in trained(recipe("plain")).items():
        torch.testing.assert_close(frugal[name], weight, rtol=1e-4, atol=1e-6)


def test_evaluation_has_batches_of_its_own_size(recipe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    batches: list[tuple[bool, int]] = []
    forward = ShortContextEncoder.forward

    def look(self: ShortContextEncoder, features: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        batches.append((self.training, len(features)))
        return forward(self, features, *args, **kwargs)

    monkeypatch.setattr(ShortContextEncoder, "forward", look)
    tune(recipe("one", eval_strategy="steps", eval_steps=2, per_device_eval_batch_size=1))
    assert {count for training, count in batches if not training} == {1}
    assert {count for training, count in batches if training} == {2}


@pytest.mark.parametrize(("options", "steps"), [
    ({"save_strategy": "no"}, []),
    ({"save_strategy": "epoch", "eval_strategy": "epoch"}, [4]),
    ({"save_strategy": "epoch", "load_best_model_at_end": False}, [4]),
    ({"save_strategy": "best"}, None),
])
def test_checkpoints_come_when_they_are_asked_for(recipe: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                                  options: dict[str, Any], steps: list[int] | None) -> None:
    tune(recipe("out", max_steps=4, **{"eval_strategy": "steps", "eval_steps": 2, **options}))
    found = sorted(int(path.name.rpartition("-")[2]) for path in (tmp_path / "out").glob("checkpoint-*"))
    summary = json.loads((tmp_path / "out/train_summary.json").read_text())
    assert summary["best_step"] in found if steps is None else found == steps
    assert (tmp_path / "out" / ADAPTER).exists()
    keeps_best = options.get("load_best_model_at_end", options["save_strategy"] != "no")
    assert ("best on the development set: step" in capsys.readouterr().err) is keeps_best


def test_evaluation_on_start_and_its_delay(recipe: Any, tmp_path: Path) -> None:
    tune(recipe("out", max_steps=4, eval_strategy="steps", eval_steps=1, eval_on_start=True, eval_delay=3))
    evaluated = [entry["step"] for entry in training_history(tmp_path / "out") if "eval_loss" in entry]
    assert evaluated == [0, 3, 4]


def test_a_rate_that_falls_on_a_plateau_is_the_schedule_that_was_asked_for(recipe: Any, tmp_path: Path) -> None:
    tune(recipe("out", max_steps=4, eval_strategy="steps", eval_steps=1, learning_rate=1e-6,
                lr_scheduler_type="reduce_lr_on_plateau", lr_scheduler_kwargs={"patience": 0, "threshold": "1e-1"}))
    rates = [entry["learning_rate"] for entry in training_history(tmp_path / "out") if "learning_rate" in entry]
    assert rates[0] == 1e-6 and rates[-1] < 1e-6


@pytest.mark.parametrize(("argv", "complaint"), [
    ({"torch_compile": True}, "torch_compile: True is not supported: batches differ in shape"),
    ({"fsdp": "full_shard"}, "fsdp: 'full_shard' is not supported: weights are not sharded"),
])
def test_what_is_refused_is_refused_before_anything_is_read(recipe: Any, monkeypatch: pytest.MonkeyPatch,
                                                            argv: dict[str, Any], complaint: str) -> None:
    monkeypatch.setattr(finetune, "open_set", lambda *_: pytest.fail("read the data"))
    with pytest.raises(UserError, match=complaint):
        tune(recipe("out", **argv))


def model_with(tiny_whisper: Path, directory: Path, **config: Any) -> str:
    """A copy of the tiny model whose config.json has other values."""
    shutil.copytree(tiny_whisper, directory)
    path = directory / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **config}))
    return str(directory)


@pytest.mark.parametrize("config", [
    {"dropout": 0.5}, {"attention_dropout": 0.5}, {"activation_dropout": 0.5},
    {"apply_spec_augment": True, "mask_time_prob": 0.5}, {"apply_spec_augment": True, "mask_feature_prob": 0.5,
                                                          "mask_time_prob": 0.0},
])
def test_dropout_and_specaugment_of_the_base_models_config_are_honoured(recipe: Any, tiny_whisper: Path, tmp_path: Path,
                                                                       config: dict[str, Any]) -> None:
    path = model_with(tiny_whisper, tmp_path / "base", **config)
    assert not same(trained(recipe("plain")), trained(recipe("other", {"model_path": path})))
    assert same(trained(recipe("again", {"model_path": path})), load_file(tmp_path / "other" / ADAPTER))
    frozen = {"model_path": path, "cache_encoder": True, "lora": {"r": 4, "alpha": 8, "encoder": False}}
    with pytest.raises(UserError, match=rf"config\.json: {next(iter(config))}: .*model\.cache_encoder: false"):
        tune(recipe("cached", frozen))


@pytest.mark.parametrize("name", ["encoder_layerdrop", "decoder_layerdrop"])
def test_layerdrop_of_the_base_models_config_is_refused(recipe: Any, tiny_whisper: Path, tmp_path: Path,
                                                        name: str) -> None:
    path = model_with(tiny_whisper, tmp_path / "base", **{name: 0.1})
    with pytest.raises(UserError, match=rf"base/config\.json: {name}: 0\.1 is not supported; set it to 0\.0 there"):
        tune(recipe("out", {"model_path": path}))


def test_continuing_with_another_number_of_processes_is_refused(recipe: Any, tmp_path: Path) -> None:
    """Each process takes a batch a step, so that the steps of an epoch would be others: 8 planned became 16."""
    config = recipe("out", max_steps=2, save_steps=2, save_strategy="steps")
    tune(config)
    (tmp_path / "out/train_summary.json").unlink()  # interrupted, as far as anybody can see
    checkpoint = tmp_path / "out/checkpoint-2"
    require_same_processes(checkpoint, 1)
    with pytest.raises(UserError, match=r"written by 1 processes .*, now there are 2, .*Train in 1 again \(--ngpu"):
        require_same_processes(checkpoint, 2)
    (checkpoint / "rng_state.pth").rename(checkpoint / "rng_state_0.pth")
    shutil.copy(checkpoint / "rng_state_0.pth", checkpoint / "rng_state_1.pth")  # as two processes leave it
    with pytest.raises(UserError, match=r"checkpoint-2 was written by 2 processes .*Train in 2 again .*or delete"):
        tune(config)
