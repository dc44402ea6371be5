"""The tiny model tuned, merged and exported, as after the last stage."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch

from utils.config import LoraOptions
from utils.export import convert, merge
from utils.model.checkpoints import load_base_model
from utils.model.lora import add_lora


class ExportedTiny(NamedTuple):
    """Directories laid out as in exp/TAG; tests only read them."""

    base: Path
    adapter: Path  # exp/TAG itself
    merged: Path
    ct2_int8: Path


def export_tiny(base: Path, directory: Path) -> ExportedTiny:
    """Make an adapter with random weights that change the hypotheses, merge it and export it."""
    torch.manual_seed(1)
    model = add_lora(load_base_model(base), LoraOptions(r=4, alpha=8))
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.05)
    model.save_pretrained(directory)
    made = ExportedTiny(base, directory, directory / "merged", directory / "ct2_int8")
    merge(directory, base, made.merged)
    convert(made.merged, made.ct2_int8, "int8")
    return made
