"""The share of its trained weight at which an adapter is used: W + share * alpha / r * B A.

A share below 1 keeps more of the base model, without another training. It is kept as ``lora_alpha`` in
adapter_config.json, so that every program that reads the adapter uses it; strength.json keeps the trained value.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from utils.filesystem import read_json, write_json

if TYPE_CHECKING:
    from peft import LoraConfig

STRENGTH = "strength.json"


def read_strength(adapter_dir: str | Path) -> dict[str, Any]:
    """The record of the choice, as :func:`keep_strength` wrote it; empty if nothing was chosen.

    Raises:
        UserError: the record is damaged.
    """
    path = Path(adapter_dir) / STRENGTH
    return read_json(path, "Choose again: pyscripts/choose_strength.py") if path.exists() else {}


def adapter_config(adapter_dir: str | Path, strength: float | None = None) -> LoraConfig:
    """PEFT's configuration of an adapter.

    Args:
        strength: share of the trained weight; None: as the directory says.

    Raises:
        UserError: strength.json is damaged.
    """
    from peft import LoraConfig

    config = LoraConfig.from_pretrained(str(adapter_dir))
    if strength is not None:
        trained = read_strength(adapter_dir).get("trained_alpha", config.lora_alpha)
        config.lora_alpha = strength * trained
    return config


def keep_strength(adapter_dir: Path, strength: float, record: Mapping[str, Any]) -> None:
    """Make ``strength`` the share at which the adapter is used, and write strength.json.

    Args:
        strength: share of the trained weight.
        record: what the choice rests on; goes into strength.json.
    """
    path = adapter_dir / "adapter_config.json"
    config = read_json(path, "Train again: pyscripts/train.py")
    trained = read_strength(adapter_dir).get("trained_alpha", config["lora_alpha"])
    # First the record: it has the trained value, without which the adapter's could not be found again.
    write_json(adapter_dir / STRENGTH, {"strength": strength, "trained_alpha": trained, **record})
    write_json(path, {**config, "lora_alpha": trained if strength == 1 else strength * trained})
