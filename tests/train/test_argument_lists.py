"""Every Seq2SeqTrainingArguments field is honoured, harmless or refused in one line that says what to use instead."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any

import pytest
import torch
from transformers import Seq2SeqTrainingArguments

from utils import ROOT
from utils.errors import UserError
from utils.train.argument_lists import ALLOWED, FORMER, FORMER_HARMLESS, HARMLESS, HONOURED, REFUSED
from utils.train.arguments import DEFAULTS, training_arguments, utterance_limits

OUT = {"out_model_path": "out", "eval_strategy": "steps"}
FIELDS = {field.name: field for field in dataclasses.fields(Seq2SeqTrainingArguments) if field.init}
HONOURED_NAMES = [name for names in HONOURED.values() for name in names]

# A value of each honoured field that is not its default, and what else it needs.
VALUES: dict[str, Any] = {
    "output_dir": "elsewhere", "resume_from_checkpoint": "first/checkpoint-2",
    "num_train_epochs": 2.5, "max_steps": 7, "per_device_train_batch_size": 3,
    "per_device_eval_batch_size": 4, "gradient_accumulation_steps": 2, "use_cache": True, "learning_rate": 3e-4,
    "lr_scheduler_type": "cosine", "lr_scheduler_kwargs": {"num_cycles": 2}, "warmup_steps": 0.1, "optim": "adafactor",
    "optim_args": "momentum=0.9", "weight_decay": 0.1, "adam_beta1": 0.8, "adam_beta2": 0.98, "adam_epsilon": 1e-6,
    "max_grad_norm": 0.5, "label_smoothing_factor": 0.1, "neftune_noise_alpha": 5.0, "bf16": True, "fp16": True,
    "tf32": False, "gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"every_n_layers": 2},
    "torch_empty_cache_steps": 4, "eval_strategy": "epoch", "eval_steps": 6, "eval_delay": 5.0, "eval_on_start": True,
    "load_best_model_at_end": False, "metric_for_best_model": "eval_loss", "greater_is_better": False,
    "save_strategy": "best", "save_steps": 20, "save_total_limit": 5, "logging_strategy": "epoch", "logging_steps": 2,
    "logging_first_step": True, "logging_nan_inf_filter": False, "log_on_each_node": False, "log_level": "error",
    "log_level_replica": "info", "disable_tqdm": True, "report_to": ["tensorboard"], "run_name": "mine",
    "project": "mine", "seed": 5, "data_seed": 6, "full_determinism": True, "dataloader_num_workers": 2,
    "dataloader_pin_memory": False, "dataloader_persistent_workers": True, "dataloader_prefetch_factor": 3,
    "use_cpu": True, "ddp_find_unused_parameters": True, "ddp_bucket_cap_mb": 10, "ddp_broadcast_buffers": False,
    "ddp_backend": "gloo", "ddp_timeout": 60,
}
NEEDS: dict[str, dict[str, Any]] = {
    "lr_scheduler_kwargs": {"lr_scheduler_type": "cosine_with_restarts"}, "optim_args": {"optim": "sgd"},
    "gradient_checkpointing_kwargs": {"gradient_checkpointing": True}, "bf16": {"use_cpu": True},
    "dataloader_persistent_workers": {"dataloader_num_workers": 1},
    "dataloader_prefetch_factor": {"dataloader_num_workers": 1},
}
# Values that differ from the default where another kind of value is meant than the default's.
OTHER = {str: "something", bool: True, int: 3, float: 0.5}


def refusal(argv: dict[str, Any], has_dev_set: bool = True) -> str:
    with pytest.raises(UserError) as caught:
        training_arguments({**OUT, **argv}, has_dev_set)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def default(name: str) -> Any:
    factory = FIELDS[name].default_factory
    value = FIELDS[name].default if factory is dataclasses.MISSING else factory()
    return DEFAULTS.get(name, value)


def other(name: str) -> Any:
    value = default(name)
    if isinstance(value, bool):
        return not value
    if isinstance(value, list):
        return ["something"]
    for kind, example in OTHER.items():
        if kind.__name__ in str(FIELDS[name].type):
            return example
    return {"something": 1}


def test_every_field_of_the_installed_transformers_is_in_one_list() -> None:
    count = Counter([*HONOURED_NAMES, *HARMLESS, *REFUSED])
    assert [name for name in FIELDS if name not in count] == [], "new in transformers: see what they do here"
    assert [name for name in count if name not in FIELDS] == [], "no longer in transformers"
    assert [name for name in count if count[name] > 1] == []
    assert not FORMER.keys() & FIELDS.keys()


def as_markdown() -> str:
    """The three lists as doc/training.md shows them."""
    def names(fields: Any) -> str:
        return ", ".join(f"`{name}`" for name in fields)

    def by_text(fields: dict[str, str]) -> list[str]:
        return [f"| {names(name for name in fields if fields[name] == text)} | {text} |"
                for text in dict.fromkeys(fields.values())]

    return "\n".join([
        "**Honoured**", "", "| about | fields |", "|---|---|",
        *(f"| {topic} | {names(fields)} |" for topic, fields in HONOURED.items()), "",
        "**Refused**, unless it has its default", "", "| fields | why, and what to use instead |", "|---|---|",
        *by_text({**REFUSED, **FORMER}), "",
        "**Harmless**: accepted, changes nothing, and a log line says so", "", "| fields | why |", "|---|---|",
        *by_text({**HARMLESS, **FORMER_HARMLESS}), ""])


def test_the_documentation_shows_the_lists() -> None:
    page = (ROOT / "doc/training.md").read_text("utf-8")
    assert as_markdown() in page, f"replace the lists there with:\n{as_markdown()}"


def test_a_field_of_a_newer_transformers_is_unknown_until_somebody_has_looked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("utils.train.arguments.KNOWN", {"output_dir", "eval_strategy"})
    assert "unknown argument max_steps" in refusal({"max_steps": 1})


@pytest.mark.parametrize("name", HONOURED_NAMES)
def test_honoured_fields_reach_the_trainer(name: str) -> None:
    if name == "fp16" and not torch.cuda.is_available():
        assert "no fp16 training without a GPU" in refusal({"fp16": True})
        return
    if name in ("resume_from_checkpoint", "ddp_backend"):  # of Trainer.train(); of several processes
        training_arguments({**OUT, name: VALUES[name]}, has_dev_set=True)
        return
    argv = {**OUT, **NEEDS.get(name, {}), name: VALUES[name]}
    if name == "output_dir":
        del argv["out_model_path"]
    arguments = training_arguments(argv, has_dev_set=True)
    value = getattr(arguments, name)
    assert getattr(value, "value", value) == VALUES[name]
    assert VALUES[name] != default(name) or name in ("load_best_model_at_end",)  # which is true where OUT evaluates


@pytest.mark.parametrize("name", REFUSED)
def test_refused_fields_are_one_line_that_says_what_to_use_instead(name: str) -> None:
    if name == "hub_token":
        assert "Set HF_TOKEN in the environment" in refusal({name: "x"})
        return
    message = refusal({name: other(name)})
    assert message.startswith(f"model.model_train_argv.{name}: ")
    assert REFUSED[name] in message
    value = default(name)
    assert getattr(training_arguments({**OUT, name: value}, has_dev_set=True), name, value) is not other(name)
    for allowed in ALLOWED.get(name, ()):
        training_arguments({**OUT, name: allowed}, has_dev_set=True)


@pytest.mark.parametrize("name", HARMLESS)
def test_harmless_fields_are_accepted_and_said_to_change_nothing(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    training_arguments({**OUT, name: default(name)}, has_dev_set=True)
    assert capsys.readouterr().err == ""
    training_arguments({**OUT, name: other(name)}, has_dev_set=True)
    assert f"model.model_train_argv.{name} changes nothing here: {HARMLESS[name]}" in capsys.readouterr().err


@pytest.mark.parametrize(("argv", "complaint"), [
    ({"train_sampling_strategy": "sequential"}, "'sequential' is not supported: batches hold utterances of like"),
    ({"warmup_ratio": 0.1}, "warmup_steps: 0.1"),
    ({"metric_for_best_model": "wer", "greater_is_better": False}, "metric_for_best_model must be loss"),
    ({"metric_for_best_model": "loss", "greater_is_better": True}, "of which less is better"),
    ({"report_to": "wandb"}, "report_to: wandb needs a package: pip install wandb"),
    ({"report_to": ["tensorboard", "azure_ml"]}, "azure_ml is not supported; there are none, all, tensorboard"),
    ({"optim": "adamw_bnb_8bit"}, "adamw_bnb_8bit needs a package: pip install bitsandbytes"),
    ({"optim": "adamw_8bit"}, "needs a package: pip install bitsandbytes"),
    ({"optim": "adamw_torch_8bit"}, "needs a package: pip install torchao"),
    ({"optim": "galore_adamw"}, "galore_adamw is not supported; there are adamw_torch, "),
    ({"optim": "adamm"}, "adamm"),
    ({"use_liger_kernel": True}, "the pip package liger-kernel has no kernels for Whisper"),
    ({"optim": "sgd", "optim_args": "momentumm=1"}, "'momentumm=1' is none of sgd's: momentum=…, "),
    ({"optim": "sgd", "optim_args": "momentum"}, "'momentum' is none of sgd's"),
    ({"optim_args": "momentum=0.9"}, "it takes none"),
    ({"optim": "sgd", "optim_args": "momentum=much"}, "optim: sgd: could not convert"),
    ({"adam_beta1": 1.5}, "optim: adamw_torch_fused: Invalid beta parameter"),
    ({"lr_scheduler_type": "cosine_with_min_lr", "lr_scheduler_kwargs": {"min": 1}}, "lr_scheduler_kwargs: cosine_w"),
    ({"lr_scheduler_type": "cosine_with_min_lr"}, "lr_scheduler_kwargs: cosine_with_min_lr: "),
    ({"lr_scheduler_type": "cosine", "lr_scheduler_kwargs": {"num_cycles": "many"}}, "lr_scheduler_kwargs: cosine: "),
    ({"lr_scheduler_type": "constant", "lr_scheduler_kwargs": {"min_lr": 1}}, "constant takes none"),
    ({"lr_scheduler_kwargs": [1]}, "lr_scheduler_kwargs must be a mapping of keys, not [1]"),
    ({"lr_scheduler_kwargs": "{"}, "lr_scheduler_kwargs must be a mapping of keys"),
    ({"gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"use_reentrant": True}}, "must be false"),
    ({"gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"reentrant": True}}, "there are use_reentrant"),
    ({"gradient_checkpointing_kwargs": {"use_reentrant": False}}, "need gradient_checkpointing: true"),
    ({"gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"every_n_layers": 0}}, "must be at least 1"),
    ({"gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"offload": True}, "use_cpu": True},
     "needs a GPU"),
    ({"save_strategy": "epoch"}, "does not fit eval_strategy: steps, as the best checkpoint is kept; set it to steps"),
    ({"save_strategy": "best", "eval_strategy": "no"}, "needs an evaluation: set eval_strategy"),
    ({"load_best_model_at_end": True, "eval_strategy": "no"}, "needs an evaluation: set eval_strategy"),
    ({"eval_on_start": True, "eval_strategy": "no"}, "needs an evaluation: set eval_strategy"),
    ({"lr_scheduler_type": "reduce_lr_on_plateau", "eval_strategy": "no"}, "requires an eval strategy"),
    ({"per_gpu_train_batch_size": 2, "per_device_train_batch_size": 3}, "is another name of per_device_train_batch"),
    ({"dataloader_persistent_workers": True}, "set dataloader_num_workers: 1 or more"),
    ({"per_device_train_batch_size": 0}, "per_device_train_batch_size must be at least 1, not 0"),
    ({"gradient_accumulation_steps": 1.5}, "gradient_accumulation_steps must be a whole number, not 1.5"),
    ({"eval_steps": 0}, "eval_steps must be more than 0"),
    ({"learning_rate": float("nan")}, "learning_rate must be a number, not nan"),
    ({"max_steps": 0}, "max_steps must be at least 1, or -1"),
    ({"seed": -1}, "seed must be at least 0"),
    ({"seed": True}, "seed must be a number, not True"),
    ({"fp16": "maybe"}, "fp16 must be true or false, not 'maybe'"),
    ({"log_level": "loud"}, "log_level must be one of "),
    ({"ddp_backend": "mpi"}, "this PyTorch has no mpi"),
])
def test_what_would_be_ignored_or_end_in_a_traceback_is_one_line(argv: dict[str, Any], complaint: str) -> None:
    message = refusal(argv)
    assert message.startswith("model.model_train_argv")
    assert complaint in message


def test_numbers_in_mappings_may_be_written_as_yaml_1_1_does_not_know_them() -> None:
    argv = {**OUT, "lr_scheduler_type": "cosine_with_min_lr", "lr_scheduler_kwargs": {"min_lr": "1e-5"}}
    assert training_arguments(argv, has_dev_set=True).lr_scheduler_kwargs == {"min_lr": 1e-5}
    argv["lr_scheduler_kwargs"] = '{"min_lr": 1e-5, "num_cycles": 0.5}'
    assert training_arguments(argv, has_dev_set=True).lr_scheduler_kwargs == {"min_lr": 1e-5, "num_cycles": 0.5}
    assert training_arguments({**OUT, "max_steps": "1e3"}, has_dev_set=True).max_steps == 1000


def test_without_checkpoints_the_last_model_is_kept_and_that_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    for value in ("no", False):
        arguments = training_arguments({**OUT, "save_strategy": value}, has_dev_set=True)
        assert (arguments.save_strategy, arguments.load_best_model_at_end) == ("no", False)
        assert "the model of the last step is kept, not the best one" in capsys.readouterr().err
    argv = {**OUT, "save_strategy": "epoch", "load_best_model_at_end": False}
    assert training_arguments(argv, has_dev_set=True).save_strategy == "epoch"
    arguments = training_arguments({**argv, "eval_strategy": "epoch", "load_best_model_at_end": None}, has_dev_set=True)
    assert (arguments.save_strategy, arguments.load_best_model_at_end) == ("epoch", True)


def test_warmup_that_a_schedule_does_not_have_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    training_arguments({**OUT, "lr_scheduler_type": "constant", "warmup_steps": 20}, has_dev_set=True)
    assert "warmup_steps changes nothing with lr_scheduler_type: constant" in capsys.readouterr().err


def test_batches_have_as_many_utterances_as_either_name_allows() -> None:
    assert utterance_limits({}) == (0, 0)
    assert utterance_limits({"per_gpu_train_batch_size": 3}) == (3, 3)
    assert utterance_limits({"per_device_train_batch_size": 3, "per_device_eval_batch_size": 9}) == (3, 9)
    assert utterance_limits({"per_gpu_eval_batch_size": 2}) == (0, 2)
