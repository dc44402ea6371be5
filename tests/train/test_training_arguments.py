"""``model_train_argv``: every argument of the trainer, under its present or former name."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from utils.errors import UserError
from utils.train.arguments import training_arguments

OUT = {"out_model_path": "out"}


def refusal(argv: dict[str, Any], has_dev_set: bool = True) -> str:
    with pytest.raises(UserError) as caught:
        training_arguments(argv, has_dev_set)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(("old", "new", "value"), [
    ("out_model_path", "output_dir", "elsewhere"),
    ("evaluation_strategy", "eval_strategy", "epoch"),
    ("no_cuda", "use_cpu", True),
    ("per_gpu_train_batch_size", "per_device_train_batch_size", 3),
    ("per_gpu_eval_batch_size", "per_device_eval_batch_size", 3),
])
def test_former_names_are_understood(old: str, new: str, value: Any) -> None:
    assert getattr(training_arguments({**OUT, old: value}, has_dev_set=True), new) == value


def test_the_recipes_defaults_give_way() -> None:
    arguments = training_arguments(OUT, has_dev_set=False)
    assert (arguments.label_names, arguments.remove_unused_columns, arguments.seed) == (["labels"], False, 777)
    has_bf16 = torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    assert (arguments.bf16, arguments.fp16) == (has_bf16, torch.cuda.is_available() and not has_bf16)
    assert training_arguments({**OUT, "seed": 1, "save_total_limit": None}, has_dev_set=False).seed == 1


def test_an_evaluated_training_keeps_its_best_checkpoint() -> None:
    arguments = training_arguments({**OUT, "eval_strategy": "steps", "logging_steps": 30}, has_dev_set=True)
    assert (arguments.save_strategy, arguments.eval_steps, arguments.save_steps) == ("steps", 30, 30)
    assert arguments.load_best_model_at_end
    arguments = training_arguments({**OUT, "eval_strategy": "steps", "eval_steps": 7}, has_dev_set=True)
    assert (arguments.eval_steps, arguments.save_steps) == (7, 7)


def test_yaml_reads_no_as_false_and_1e_4_as_text() -> None:
    arguments = training_arguments(
        {**OUT, "eval_strategy": False, "save_strategy": False, "learning_rate": "1e-4", "adam_epsilon": "1e-9"},
        has_dev_set=False)
    assert (arguments.eval_strategy, arguments.save_strategy) == ("no", "no")
    assert (arguments.learning_rate, arguments.adam_epsilon) == (1e-4, 1e-9)


@pytest.mark.parametrize(("argv", "complaint"), [
    ({"learning_rat": 1}, "unknown argument learning_rat; did you mean learning_rate?"),
    ({5: 1}, "unknown argument 5"),
    ({"learning_rate": "fast"}, "model.model_train_argv.learning_rate must be a number, not 'fast'"),
    ({"eval_strategy": "sometimes"}, "sometimes"),
    ({"eval_strategy": "epoch", "save_strategy": "steps"}, "model.model_train_argv: "),
    ({"out_model_path": ""}, "out_model_path is empty"),
])
def test_what_the_trainer_cannot_take_is_one_line(argv: dict[Any, Any], complaint: str) -> None:
    assert complaint in refusal({**OUT, **argv})


def test_evaluation_needs_a_development_set() -> None:
    assert "needs data.test" in refusal({**OUT, "evaluation_strategy": "epoch"}, has_dev_set=False)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU can train in fp16")
def test_fp16_without_a_gpu_is_refused() -> None:
    assert "fp16" in refusal({**OUT, "fp16": True})
    assert not training_arguments({**OUT, "fp16": False}, has_dev_set=False).fp16


def test_without_an_accelerator_processes_train_together_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise accelerate would run each process as if it were the only one."""
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    assert training_arguments({"out_model_path": "out"}, False).use_cpu
