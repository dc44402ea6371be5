"""Trainings that went wrong: a loss, gradient or weight that is no finite number stops them; no model is written."""

from __future__ import annotations

import math

import torch
from torch import nn
from transformers import TrainerState, TrainingArguments

from utils.errors import UserError
from utils.train.records import output_directory
from utils.train.resume import last_complete_checkpoint

FULL_TUNING_RATE = 1e-4  # all weights: what is usual is about 1e-5, and adapters stand ten to fifty times as much


def require_finite(value: float, what: str, arguments: TrainingArguments, state: TrainerState) -> None:
    """Stop a training that diverged.

    Args:
        value: of ``what``: a loss, or the norm of a gradient.

    Raises:
        UserError: it is infinite or not a number. The message names the step, the learning rate, and the last
            checkpoint, whose weights are from before.
    """
    if math.isfinite(value):
        return
    checkpoint = last_complete_checkpoint(output_directory(arguments))
    raise UserError(
        f"{arguments.output_dir}: the training diverged: {what} is {value} after step {state.global_step}, and no "
        f"model is written. Lower model.model_train_argv.learning_rate, {arguments.learning_rate:g} now, and train "
        f"again with --overwrite true; "
        + (f"{checkpoint} is from before" if checkpoint else "no checkpoint is from before"))


def require_finite_weights(model: nn.Module, arguments: TrainingArguments, state: TrainerState) -> None:
    """:func:`require_finite` of all weights that train: none that diverged reaches a checkpoint or a result.

    Raises:
        UserError: one of them is infinite or not a number.
    """
    for name, weight in model.named_parameters():
        if weight.requires_grad and not bool(torch.isfinite(weight).all()):
            require_finite(math.nan, f"the weight {name}", arguments, state)


def rate_warning(learning_rate: float, full_tuning: bool) -> str:
    """A sentence if all weights are trained at a rate that is meant for adapters; empty if not."""
    if not full_tuning or learning_rate < FULL_TUNING_RATE:
        return ""
    return (f"warning: model.model_train_argv.learning_rate is {learning_rate:g}, but model.is_large_model is false: "
            "all weights train, and Whisper forgets what it knew at LoRA's rates. About 1e-5 is usual: "
            "conf/full_tuning.yaml")
