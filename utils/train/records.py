"""What a training leaves in its directory: file names, the history with its plot, the summary."""

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
DATA = "data.json"  # checksums of the lists, features and tokenizer trained with
TOKENIZER = "tokenizer"  # its key there
WEIGHTS = ("adapter_model.safetensors", "model.safetensors")
# What a training leaves, in the order in which it can be removed and an interruption does no harm.
WRITTEN = (SUMMARY, "checkpoint-*", "runs", "adapter_*", "model*.safetensors*", LOSS_PLOT, HISTORY, ENVIRONMENT, DATA,
            CONFIG)


def write_history(history: list[dict[str, float]], output_dir: Path) -> None:
    """Write what the trainer logged as JSON and as a plot; checkpoints, which have it too, may be deleted."""
    with atomic_open(output_dir / HISTORY) as stream:
        json.dump(history, stream, indent=1)
    plot_losses(history, output_dir / LOSS_PLOT)


def output_directory(arguments: TrainingArguments) -> Path:
    """Where a training writes."""
    assert arguments.output_dir is not None  # transformers fills it in
    return Path(arguments.output_dir)


def loss_curves(history: Sequence[Mapping[str, Any]]) -> dict[str, list[tuple[int, float]]]:
    """Points (step, cross entropy per token) by what the loss is of; empty where nothing was logged."""
    return {label: [(entry["step"], entry[name]) for entry in history if name in entry]
            for name, label in (("loss", "training"), ("eval_loss", "development"))}


def plot_losses(history: list[dict[str, float]], path: Path) -> None:
    """Training and development loss against the step, and the learning rate below, as a PNG."""
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
    """What shows that a training here used wrong tokens; empty if it did not, or nothing was trained here.

    Trainings keep their tokenizer's checksum in data.json. Those that began before tokenizers were repaired have none:
    they used the file as it was.

    Args:
        exp_dir: of an adapter or a whole model.
        model_dir: what the adapter was trained on; the whole model's own directory.
    """
    record = exp_dir / DATA
    if not record.is_file() or TOKENIZER in read_json(record, "Delete it to have it written again"):
        return ""
    from utils.data.tokenizer import wrong_tokens  # brings transformers

    fault = wrong_tokens(model_dir) if Path(model_dir).is_dir() else ""
    return f"{exp_dir} holds a training that used wrong tokens ({fault}) and must be made again" if fault else ""


def training_summary(exp_dir: Path) -> dict[str, Any]:
    """train_summary.json of an experiment; empty if nothing was trained there."""
    path = exp_dir / SUMMARY
    return read_json(path, "Train again: pyscripts/train.py") if path.exists() else {}


def training_history(exp_dir: Path) -> list[dict[str, Any]]:
    """What the trainer logged, train_history.json of stage 3; empty if nothing was trained there."""
    path = exp_dir / HISTORY
    return read_json(path, "Train again: pyscripts/train.py") if path.exists() else []
