"""The files in the directory of a training: their names, the history with its plot, the summary."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from utils.filesystem import atomic_open, read_json
from utils.provenance import ENVIRONMENT

if TYPE_CHECKING:
    from transformers import TrainingArguments

SUMMARY = "train_summary.json"
HISTORY = "train_history.json"
LOSS_PLOT = "loss.png"
CONFIG = "config.yaml"
DATA = "data.json"  # checksums of lists, features and tokenizer of the training
TOKENIZER = "tokenizer"  # the tokenizer's key in DATA
WEIGHTS = ("adapter_model.safetensors", "model.safetensors")
# All files of a training, in an order in which deleting them can be interrupted without harm.
WRITTEN = (SUMMARY, "checkpoint-*", "runs", "strength", "strength.json", "adapter_*", "model*.safetensors*",
            LOSS_PLOT, HISTORY, ENVIRONMENT, DATA, CONFIG)


def write_history(history: list[dict[str, float]], output_dir: Path) -> None:
    """Write the trainer's log as JSON and as a plot. The copies in checkpoints may be deleted."""
    with atomic_open(output_dir / HISTORY) as stream:
        json.dump(history, stream, indent=1)
    plot_losses(history, output_dir / LOSS_PLOT)


def output_directory(arguments: TrainingArguments) -> Path:
    """Return the output directory of a training."""
    assert arguments.output_dir is not None  # transformers sets a default
    return Path(arguments.output_dir)


def loss_curves(history: Sequence[Mapping[str, Any]]) -> dict[str, list[tuple[int, float]]]:
    """Return points (step, cross entropy per token) of the curves ``training`` and ``development``."""
    return {label: [(entry["step"], entry[name]) for entry in history if name in entry]
            for name, label in (("loss", "training"), ("eval_loss", "development"))}


def plot_losses(history: list[dict[str, float]], path: Path) -> None:
    """Plot training and development loss, and below the learning rate, against the step, as a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 5), layout="constrained")
    losses, rates = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    for (label, points), style in zip(loss_curves(history).items(), ("-", "o-"), strict=True):
        if points:
            losses.plot(*zip(*points, strict=True), style, label=label)
    if schedule := [(entry["step"], entry["learning_rate"]) for entry in history if "learning_rate" in entry]:
        rates.plot(*zip(*schedule, strict=True))
    losses.set_ylabel("cross entropy per token")
    losses.set_ylim(bottom=0)
    if losses.lines:
        losses.legend()
    rates.set_ylabel("learning rate")
    rates.set_xlabel("step")
    for axis in (losses, rates):
        axis.grid(alpha=0.3)
    with atomic_open(path, "wb") as stream:
        figure.savefig(stream, format="png", dpi=120)


def tokens_fault(exp_dir: Path, model_dir: str | Path) -> str:
    """Return why the training in ``exp_dir`` used wrong tokens; empty if it did not, or if there is no training.

    A training keeps its tokenizer's checksum in data.json. One from before tokenizers were repaired has no checksum,
    and used the file as it was.

    Args:
        exp_dir: directory of an adapter or a whole model.
        model_dir: base model of the adapter, or the directory of the whole model.
    """
    record = exp_dir / DATA
    if not record.is_file() or TOKENIZER in read_json(record, "Delete it to have it written again"):
        return ""
    from utils.data.tokenizer import wrong_tokens  # imports transformers

    fault = wrong_tokens(model_dir) if Path(model_dir).is_dir() else ""
    return f"{exp_dir} holds a training that used wrong tokens ({fault}) and must be made again" if fault else ""


def training_summary(exp_dir: Path) -> dict[str, Any]:
    """Return train_summary.json of an experiment; empty if it has none."""
    path = exp_dir / SUMMARY
    return read_json(path, "Train again: pyscripts/train.py") if path.exists() else {}


def training_history(exp_dir: Path) -> list[dict[str, Any]]:
    """Return train_history.json of an experiment, the trainer's log; empty if it has none."""
    path = exp_dir / HISTORY
    return read_json(path, "Train again: pyscripts/train.py") if path.exists() else []
