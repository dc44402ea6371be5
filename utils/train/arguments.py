"""Converts ``model.model_train_argv`` of the configuration to Seq2SeqTrainingArguments of transformers."""

from __future__ import annotations

import dataclasses
import difflib
from typing import Any

import torch
from transformers import Seq2SeqTrainingArguments

from utils.cli import log
from utils.errors import UserError
from utils.model.cpu_bf16 import bf16_gain, has_fast_bf16
from utils.train.argument_lists import ALLOWED, FORMER, FORMER_HARMLESS, HARMLESS, KNOWN, REFUSED, RENAMED
from utils.train.argument_values import FIELDS, converted, require_usable, schedule_name
from utils.train.launch import is_launched

# Defaults of this recipe; a value in the configuration overrides them.
DEFAULTS: dict[str, Any] = {
    "label_names": ["labels"],
    "remove_unused_columns": False,
    "report_to": "tensorboard",
    "save_total_limit": 2,
    "logging_steps": 10,
    "seed": 777,
    "average_tokens_across_devices": True,  # compute_loss depends on it
    "ddp_find_unused_parameters": False,
}


def training_arguments(argv: dict[str, Any], has_dev_set: bool) -> Seq2SeqTrainingArguments:
    """Return checked arguments, with this recipe's defaults.

    Args:
        argv: fields of Seq2SeqTrainingArguments, or their names in ``RENAMED``.
        has_dev_set: whether there is a development set to evaluate on; the best checkpoint is then kept.

    Raises:
        UserError: a name is unknown, an option is refused here, transformers refuses a value, or the values do not fit
            this machine or data.
    """
    given = _given(argv)
    if not given.get("output_dir"):
        raise UserError("model.model_train_argv.out_model_path is empty; say where the trained model shall go")
    given.pop("resume_from_checkpoint", None)  # an argument of Trainer.train(), not a training argument
    merged = {**DEFAULTS, **given}
    _decide_evaluation(merged, has_dev_set)
    if merged.get("fp16") and not torch.cuda.is_available():
        raise UserError("model.model_train_argv.fp16: there is no fp16 training without a GPU; set it to false")
    if backend := merged.get("ddp_backend"):
        if not torch.distributed.is_backend_available(backend):
            raise UserError(f"model.model_train_argv.ddp_backend: this PyTorch has no {backend}; leave it unset")
        if not is_launched():
            del merged["ddp_backend"]  # one process has none
    if not torch.accelerator.is_available():
        merged.setdefault("use_cpu", True)  # otherwise accelerate treats each of several processes as the only one
    if "fp16" not in merged and "bf16" not in merged:
        merged |= _precision()
    try:
        arguments = Seq2SeqTrainingArguments(**merged)
    except (TypeError, ValueError, ImportError) as error:
        raise UserError(f"model.model_train_argv: {str(error).splitlines()[0]}") from None
    if arguments.n_gpu > 1:
        arguments._n_gpu = 1  # each GPU has its own process; with more, the trainer would split our batches
    require_usable(arguments)
    schedule = schedule_name(arguments)
    if given.get("warmup_steps") and schedule in ("constant", "reduce_lr_on_plateau", "greedy"):
        log(f"model.model_train_argv.warmup_steps changes nothing with lr_scheduler_type: {schedule}")
    return arguments


def _precision() -> dict[str, bool]:
    """Mixed precision that this machine's hardware has: bf16, else fp16 on a GPU, else none."""
    if torch.cuda.is_available():
        has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)  # T4 and V100 only emulate it
        return {"bf16": has_bf16, "fp16": not has_bf16}
    if torch.accelerator.is_available():
        return {}
    return {"bf16": has_fast_bf16()}


def precision_note(arguments: Seq2SeqTrainingArguments) -> str:
    """The precision of a training for the log, on a CPU with what the choice rests on."""
    name = "bf16" if arguments.bf16 else "fp16" if arguments.fp16 else "float32"
    if torch.accelerator.is_available():
        return f"training in {name}"
    return (f"training in {name} (model.model_train_argv.bf16): matrix products are {bf16_gain():.1f} times as fast in "
            "bf16 as in float32 on this CPU")


def utterance_limits(argv: dict[str, Any]) -> tuple[int, int]:
    """The most utterances in a batch of training and of evaluation; 0: as many as have room."""
    given = {name: converted(name, value) for name, value in _renamed(argv).items() if name.endswith("_batch_size")}
    train = given.get("per_device_train_batch_size", 0)
    return train, given.get("per_device_eval_batch_size", train)


def _renamed(argv: dict[str, Any]) -> dict[str, Any]:
    """Today's names and their values; those without one, as YAML or ``--set NAME=`` leave it, are left out."""
    given: dict[str, Any] = {}
    for name, value in argv.items():
        today = RENAMED.get(name, name)
        if value in (None, ""):
            continue
        if today in given and given[today] != value:
            raise UserError(f"model.model_train_argv: {name} is another name of {today}, and they differ; give "
                            "one of them")
        given[today] = value
    return given


def _given(argv: dict[str, Any]) -> dict[str, Any]:
    """What ``argv`` gives the trainer, each name and value checked; what changes nothing here is said."""
    for name in argv:
        if name not in {*RENAMED, *FORMER, *FORMER_HARMLESS} and not (name in KNOWN and name in FIELDS):
            near = difflib.get_close_matches(str(name), [*KNOWN, *RENAMED], n=1)
            raise UserError(f"model.model_train_argv: unknown argument {name}"
                            + (f"; did you mean {near[0]}?" if near else ""))
        if name.endswith("_token") and argv[name]:
            raise UserError(f"model.model_train_argv.{name}: a secret has no place in a configuration, which is "
                            "kept with the results. Set HF_TOKEN in the environment instead")
    given = {}
    for name, value in _renamed(argv).items():
        refusal = {**REFUSED, **FORMER}.get(name)
        if refusal is not None:
            if not _is_default(name, value) and value not in ALLOWED.get(name, ()):
                raise UserError(f"model.model_train_argv.{name}: {value!r} is not supported: {refusal}")
            continue
        reason = {**HARMLESS, **FORMER_HARMLESS}.get(name)
        if reason is not None and not _is_default(name, value):
            log(f"model.model_train_argv.{name} changes nothing here: {reason}")
        if name in FIELDS:
            given[name] = converted(name, value)
    return given


def _is_default(name: str, value: Any) -> bool:
    """Whether a value is what is taken without it; an empty one is none."""
    default = DEFAULTS.get(name)
    if default is None and name in FIELDS:
        factory = FIELDS[name].default_factory
        default = FIELDS[name].default if factory is dataclasses.MISSING else factory()
    return value == default or not (value or default)


def _decide_evaluation(merged: dict[str, Any], has_dev_set: bool) -> None:
    """Fill in when to evaluate and save, and whether the best checkpoint is kept: it is, if that is possible."""
    evaluation = merged.get("eval_strategy", "no")
    if evaluation != "no" and not has_dev_set:
        raise UserError("model.model_train_argv.eval_strategy needs data.test, a development set; or set it to no")
    for name in ("load_best_model_at_end", "eval_on_start"):
        if merged.get(name) and evaluation == "no":
            raise UserError(f"model.model_train_argv.{name} needs an evaluation: set eval_strategy: steps or epoch")
    if evaluation != "no":
        save = merged.setdefault("save_strategy", evaluation)
        merged.setdefault("load_best_model_at_end", save != "no")
        if merged["load_best_model_at_end"] and save not in (evaluation, "best"):
            raise UserError(f"model.model_train_argv: save_strategy: {save} does not fit eval_strategy: {evaluation}, "
                            f"as the best checkpoint is kept; set it to {evaluation}, or load_best_model_at_end: false")
        merged.setdefault("eval_steps", merged["logging_steps"])
        merged.setdefault("save_steps", merged["eval_steps"])
        if not merged["load_best_model_at_end"]:
            log("the model of the last step is kept, not the best one on the development set")
    elif merged.get("save_strategy") == "best":
        raise UserError("model.model_train_argv.save_strategy: best needs an evaluation: set eval_strategy: steps "
                        "or epoch")
    elif "eval_steps" in merged:
        merged.setdefault("save_steps", merged["eval_steps"])  # a training without a development set can resume, too
    if merged.get("metric_for_best_model", "loss") not in ("loss", "eval_loss") or merged.get("greater_is_better"):
        raise UserError("model.model_train_argv.metric_for_best_model must be loss, of which less is better: "
                        "evaluation while training computes nothing else; stage 4 decodes and scores (WER, CER, BLEU)")
