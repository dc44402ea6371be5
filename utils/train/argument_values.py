"""Values of ``model.model_train_argv``: as they were meant, in their range, and of what is installed."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import math
import types
import typing
from typing import Any

import torch
from transformers import SchedulerType, Seq2SeqTrainer, Seq2SeqTrainingArguments, get_scheduler
from transformers.training_args import OptimizerNames

from utils.errors import UserError

FIELDS = {field.name: field for field in dataclasses.fields(Seq2SeqTrainingArguments) if field.init}

# The least that a number may be; 2**32 seeds are all that numpy knows.
_LEAST = {"per_device_train_batch_size": 1, "per_device_eval_batch_size": 1, "gradient_accumulation_steps": 1,
          "dataloader_num_workers": 0, "dataloader_prefetch_factor": 1, "eval_delay": 0, "seed": 0, "data_seed": 0,
          "max_grad_norm": 0, "weight_decay": 0, "learning_rate": 0, "warmup_steps": 0, "label_smoothing_factor": 0,
          "torch_empty_cache_steps": 1, "ddp_timeout": 1, "ddp_bucket_cap_mb": 1}
_MORE_THAN = {"num_train_epochs": 0, "logging_steps": 0, "eval_steps": 0, "save_steps": 0, "adam_epsilon": 0}
_LESS_THAN = {"label_smoothing_factor": 1, "seed": 2**32, "data_seed": 2**32}

_PYTORCH_OPTIMIZERS = ("adamw_torch", "adamw_torch_fused", "adafactor", "sgd", "adagrad", "rmsprop")
_QUANTIZED = {
    **dict.fromkeys(("adamw_bnb_8bit", "adamw_8bit", "ademamix", "ademamix_8bit", "lion_8bit", "lion_32bit",
                     "paged_adamw_32bit", "paged_adamw_8bit", "paged_ademamix_32bit", "paged_ademamix_8bit",
                     "paged_lion_32bit", "paged_lion_8bit"), "bitsandbytes"),
    **dict.fromkeys(("adamw_torch_4bit", "adamw_torch_8bit"), "torchao"),
}
_ADEMAMIX = ("beta1", "beta2", "beta3", "alpha", "eps", "t_alpha", "t_beta3")
_OPTIM_ARGS = {
    "sgd": ("momentum", "dampening", "weight_decay", "nesterov"),
    "adagrad": ("lr_decay", "weight_decay", "eps"),
    "rmsprop": ("momentum", "alpha", "eps", "weight_decay", "centered"),
    **{name: _ADEMAMIX for name in _QUANTIZED if "ademamix" in name},
}
# report_to -> module, pip package.
_REPORTERS = {"tensorboard": ("tensorboard", "tensorboard"), "wandb": ("wandb", "wandb"),
              "mlflow": ("mlflow", "mlflow"), "comet_ml": ("comet_ml", "comet-ml"), "clearml": ("clearml", "clearml"),
              "trackio": ("trackio", "trackio"), "swanlab": ("swanlab", "swanlab"), "dvclive": ("dvclive", "dvclive"),
              "codecarbon": ("codecarbon", "codecarbon"),
              "kubeflow": ("transformers", "transformers")}  # transformers adds it in a Kubeflow job
_CHECKPOINTING = {"use_reentrant": bool, "every_n_layers": int, "offload": bool}


def converted(name: str, value: Any) -> Any:
    """``value`` as it was meant: YAML 1.1 reads ``1e-4`` as text and ``no`` as false.

    Raises:
        UserError: it is not of the argument's type, or out of its range.
    """
    if name.endswith("_strategy") and value is False:
        return "no"
    hint = FIELDS[name].type
    kinds = set(typing.get_args(hint)) if isinstance(hint, types.UnionType) else {hint}
    if kinds <= {float, types.NoneType}:
        return _in_range(name, _number(name, value))
    if kinds <= {int, types.NoneType}:
        number = _number(name, value)
        if number != int(number):
            raise UserError(f"model.model_train_argv.{name} must be a whole number, not {value!r}")
        return _in_range(name, int(number))
    if kinds <= {bool, types.NoneType} and not isinstance(value, bool):
        raise UserError(f"model.model_train_argv.{name} must be true or false, not {value!r}")
    choices = FIELDS[name].metadata.get("choices")
    if choices is not None and value not in choices:
        raise UserError(f"model.model_train_argv.{name} must be one of {', '.join(choices)}, not {value!r}")
    if name in ("lr_scheduler_kwargs", "gradient_checkpointing_kwargs"):
        return _mapping(name, value)
    return value


def _number(name: str, value: Any) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise UserError(f"model.model_train_argv.{name} must be a number, not {value!r}")
    return number


def _in_range(name: str, value: float) -> float:
    if name in _LEAST and value < _LEAST[name]:
        raise UserError(f"model.model_train_argv.{name} must be at least {_LEAST[name]}, not {value}")
    if name in _MORE_THAN and value <= _MORE_THAN[name]:
        raise UserError(f"model.model_train_argv.{name} must be more than {_MORE_THAN[name]}, not {value}")
    if name in _LESS_THAN and value >= _LESS_THAN[name]:
        raise UserError(f"model.model_train_argv.{name} must be less than {_LESS_THAN[name]}, not {value}")
    if name == "max_steps" and value != -1 and value < 1:
        raise UserError(f"model.model_train_argv.max_steps must be at least 1, or -1 for num_train_epochs, not {value}")
    return value


def _mapping(name: str, value: Any) -> dict[str, Any]:
    """A dictionary, or JSON of one, with numbers where there is text of one (``1e-5``)."""
    try:
        given = json.loads(value) if isinstance(value, str) and value else value or {}
        return {str(key): _number_or_same(item) for key, item in given.items()}
    except (ValueError, AttributeError):
        raise UserError(f"model.model_train_argv.{name} must be a mapping of keys, not {value!r}") from None


def _number_or_same(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            pass
    return value


def require_usable(arguments: Seq2SeqTrainingArguments) -> None:
    """Find out before training starts what would otherwise end it with a traceback, or be ignored.

    Raises:
        UserError: a package is missing, or values do not fit each other.
    """
    _require_reporters(list(arguments.report_to or []))
    _require_schedule(arguments, _require_optimizer(arguments))
    _require_loading(arguments)
    _require_checkpointing(arguments)


def _is_installed(module: str) -> bool:
    """Whether there is such a module, not only a folder of that name (``wandb/`` has runs)."""
    spec = importlib.util.find_spec(module)
    return spec is not None and spec.origin is not None


def _require_reporters(names: list[str]) -> None:
    for name in names:
        if name not in _REPORTERS:
            raise UserError(f"model.model_train_argv.report_to: {name} is not supported; there are none, all, "
                            + ", ".join(_REPORTERS))
        module, package = _REPORTERS[name]
        if not _is_installed(module):
            raise UserError(f"model.model_train_argv.report_to: {name} needs a package: pip install {package}")


def _require_optimizer(arguments: Seq2SeqTrainingArguments) -> torch.optim.Optimizer:
    """The optimizer that the trainer will make, of one parameter."""
    name = str(OptimizerNames(arguments.optim).value)
    if name not in _PYTORCH_OPTIMIZERS and name not in _QUANTIZED:
        raise UserError(f"model.model_train_argv.optim: {name} is not supported; there are "
                        f"{', '.join([*_PYTORCH_OPTIMIZERS, *_QUANTIZED])}")
    if name in _QUANTIZED and not _is_installed(_QUANTIZED[name]):
        raise UserError(f"model.model_train_argv.optim: {name} needs a package: pip install {_QUANTIZED[name]}")
    pairs = (arguments.optim_args or "").replace(" ", "").split(",") if arguments.optim_args else []
    known = _OPTIM_ARGS.get(name, ())
    for pair in pairs:
        if pair.count("=") != 1 or pair.partition("=")[0] not in known:
            raise UserError(f"model.model_train_argv.optim_args: {pair!r} is none of {name}'s"
                            + (f": {', '.join(f'{key}=…' for key in known)}" if known else "; it takes none"))
    try:
        optimizer, options = Seq2SeqTrainer.get_optimizer_cls_and_kwargs(arguments)
        return optimizer([torch.nn.Parameter(torch.zeros(1))], **options)
    except (ImportError, ValueError, TypeError, RuntimeError) as error:
        raise UserError(f"model.model_train_argv.optim: {name}: {str(error).splitlines()[0]}") from None


def schedule_name(arguments: Seq2SeqTrainingArguments) -> str:
    """The name of the learning rate's schedule, ``linear`` for example."""
    return str(SchedulerType(arguments.lr_scheduler_type).value)


def _as_mapping(value: dict[str, Any] | str | None) -> dict[str, Any]:
    """An option that transformers has made a dictionary of; it declares it as text, too."""
    return value if isinstance(value, dict) else {}


def _require_schedule(arguments: Seq2SeqTrainingArguments, optimizer: torch.optim.Optimizer) -> None:
    """Go through a short schedule as the trainer would make it."""
    name, options, steps = schedule_name(arguments), _as_mapping(arguments.lr_scheduler_kwargs), 10
    if options and name in ("constant", "constant_with_warmup"):
        raise UserError(f"model.model_train_argv.lr_scheduler_kwargs: {name} takes none; leave them out or "
                        "choose another lr_scheduler_type")
    try:
        schedule = get_scheduler(name, optimizer, num_warmup_steps=1, num_training_steps=steps,
                                 scheduler_specific_kwargs=options)
        for _ in range(steps):
            optimizer.step()
            schedule.step(*([1.0] if name in ("reduce_lr_on_plateau", "greedy") else []))
    except (ValueError, TypeError, ArithmeticError) as error:
        raise UserError(f"model.model_train_argv.lr_scheduler_kwargs: {name}: {str(error).splitlines()[0]}") from None


def _require_loading(arguments: Seq2SeqTrainingArguments) -> None:
    if arguments.dataloader_persistent_workers and not arguments.dataloader_num_workers:
        raise UserError("model.model_train_argv.dataloader_persistent_workers needs workers: "
                        "set dataloader_num_workers: 1 or more")


def _require_checkpointing(arguments: Seq2SeqTrainingArguments) -> None:
    options = _as_mapping(arguments.gradient_checkpointing_kwargs)
    for name, value in options.items():
        if type(value) is not _CHECKPOINTING.get(name):
            raise UserError(f"model.model_train_argv.gradient_checkpointing_kwargs: {name}: {value!r} is not "
                            "supported; there are "
                            + ", ".join(f"{key} ({kind.__name__})" for key, kind in _CHECKPOINTING.items()))
    if options.get("use_reentrant"):
        raise UserError("model.model_train_argv.gradient_checkpointing_kwargs: use_reentrant must be false: with "
                        "LoRA the layers' inputs have no gradient")
    if options.get("every_n_layers", 1) < 1:
        raise UserError("model.model_train_argv.gradient_checkpointing_kwargs: every_n_layers must be at least 1")
    if options.get("offload") and arguments.device.type == "cpu":
        raise UserError("model.model_train_argv.gradient_checkpointing_kwargs: offload moves activations from a GPU to "
                        "the machine's memory, and needs a GPU")
    if options and not arguments.gradient_checkpointing:
        raise UserError("model.model_train_argv.gradient_checkpointing_kwargs need gradient_checkpointing: true")
