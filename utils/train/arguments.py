"""``model.model_train_argv`` of the configuration as transformers' Seq2SeqTrainingArguments."""

from __future__ import annotations

import dataclasses
import difflib
from typing import Any

import torch
from transformers import Seq2SeqTrainingArguments

from utils.errors import UserError

# Names that the parent project or older transformers used.
RENAMED = {
    "out_model_path": "output_dir",
    "evaluation_strategy": "eval_strategy",
    "no_cuda": "use_cpu",
    "per_gpu_train_batch_size": "per_device_train_batch_size",
    "per_gpu_eval_batch_size": "per_device_eval_batch_size",
}

_FLOATS = {field.name for field in dataclasses.fields(Seq2SeqTrainingArguments)
           if field.type in (float, "float", float | None, "float | None")}

# What the recipe needs or what suits it; a value in the configuration goes first.
DEFAULTS: dict[str, Any] = {
    "label_names": ["labels"],
    "remove_unused_columns": False,
    "report_to": "tensorboard",
    "save_total_limit": 2,
    "logging_steps": 10,
    "seed": 777,
    "average_tokens_across_devices": True,  # the loss relies on it
    "ddp_find_unused_parameters": False,
}


def training_arguments(argv: dict[str, Any], has_dev_set: bool) -> Seq2SeqTrainingArguments:
    """Checked arguments, with this recipe's defaults.

    Args:
        has_dev_set: whether there is something to evaluate on; then the best checkpoint is kept.

    Raises:
        UserError: a name that no version of transformers knows, or a value that the installed one refuses.
    """
    fields = {field.name for field in dataclasses.fields(Seq2SeqTrainingArguments) if field.init}
    for name in argv:
        if RENAMED.get(name, name) not in fields:
            near = difflib.get_close_matches(str(name), [*fields, *RENAMED], n=1)
            raise UserError(f"model.model_train_argv: unknown argument {name}"
                            + (f"; did you mean {near[0]}?" if near else ""))
        if name.endswith("_token") and argv[name]:
            raise UserError(f"model.model_train_argv.{name}: a secret has no place in a configuration, which is kept "
                            "with the results. Set HF_TOKEN in the environment instead")
    given = {RENAMED.get(name, name): _value(RENAMED.get(name, name), value)
             for name, value in argv.items() if value is not None}
    if not given.get("output_dir"):
        raise UserError("model.model_train_argv.out_model_path is empty; say where the trained model shall go")
    given.pop("resume_from_checkpoint", None)  # not a training argument but one of Trainer.train()
    merged = {**DEFAULTS, **given}
    if merged.get("eval_strategy", "no") != "no":
        if not has_dev_set:
            raise UserError("model.model_train_argv.eval_strategy needs data.test, a development set; or set it to no")
        merged.setdefault("load_best_model_at_end", True)
        merged.setdefault("save_strategy", merged["eval_strategy"])
        merged.setdefault("eval_steps", merged["logging_steps"])
        merged.setdefault("save_steps", merged["eval_steps"])
    elif "eval_steps" in merged:
        merged.setdefault("save_steps", merged["eval_steps"])  # without a development set, too, there is where to go on
    if merged.get("fp16") and not torch.cuda.is_available():
        raise UserError("model.model_train_argv.fp16: there is no fp16 training without a GPU; set it to false")
    if not torch.accelerator.is_available():
        merged.setdefault("use_cpu", True)  # or accelerate takes each of several processes for the only one
    if "fp16" not in merged and "bf16" not in merged:
        merged["bf16"] = torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    try:
        arguments = Seq2SeqTrainingArguments(**merged)
    except (TypeError, ValueError, ImportError) as error:
        raise UserError(f"model.model_train_argv: {str(error).splitlines()[0]}") from None
    if arguments.n_gpu > 1:
        arguments._n_gpu = 1  # several GPUs take a process each; the trainer would split our batches among them
    return arguments


def _value(name: str, value: Any) -> Any:
    """``value`` as it was meant: YAML 1.1 reads ``1e-4`` as text and ``no`` as false."""
    if name.endswith("_strategy") and value is False:
        return "no"
    if name in _FLOATS:
        try:
            return float(value)
        except (TypeError, ValueError):
            raise UserError(f"model.model_train_argv.{name} must be a number, not {value!r}") from None
    return value
