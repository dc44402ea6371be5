"""CTranslate2 directories, and the window for which a model was tuned.

The window is a key in config.json, which other runtimes ignore.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from utils.errors import UserError


def convert_to_ct2(model_dir: Path, ct2_dir: Path, quantization: str, copied: Sequence[str]) -> None:
    """Convert a Hugging Face directory to CTranslate2; the files ``copied`` come along.

    Args:
        quantization: the type of the weights; "": as they are.
    """
    from ctranslate2.converters import TransformersConverter

    converter = TransformersConverter(str(model_dir), copy_files=list(copied), low_cpu_mem_usage=True)
    converter.convert(str(ct2_dir), quantization=quantization or None, force=True)


def write_window(model_dir: Path, window: str) -> None:
    """Write ``short`` or ``full`` to config.json of a CTranslate2 directory."""
    path = model_dir / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), "window": window}, indent=2) + "\n", "utf-8")


def require_ct2_files(model_dir: Path) -> None:
    """Check that a CTranslate2 directory has what the recognizer reads, in a form that can be right.

    Raises:
        UserError: a file is missing, or is not what it should be; the message names it.
    """
    if not (model_dir / "model.bin").is_file():
        raise UserError(f"{model_dir}: no CTranslate2 model there (no model.bin); name an exported directory, "
                        "exp/TAG/ct2_TYPE")
    if not any((model_dir / name).is_file() for name in ("tokenizer.json", "vocab.json")):
        raise UserError(f"{model_dir}/tokenizer.json: is missing. Copy it from the model that was exported, or export "
                        "the model again")
    for name in ("config.json", "preprocessor_config.json"):
        if name == "config.json" or (model_dir / name).is_file():
            _read_settings(model_dir / name)


def require_num_mels(model_dir: Path, num_mels: int) -> None:
    """Check that preprocessor_config.json, if it is there, is of a model with ``num_mels`` mel bins.

    Raises:
        UserError: it is not.
    """
    path = model_dir / "preprocessor_config.json"
    if path.is_file() and (size := _read_settings(path).get("feature_size", 80)) != num_mels:
        raise UserError(f"{path}: has feature_size {size}, but the model takes {num_mels} mel bins: it is of another "
                        "model. Copy the right one, or export the model again")


def _read_settings(path: Path) -> dict[str, Any]:
    try:
        settings = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read: {error}; export the model again") from None
    if not isinstance(settings, dict):
        raise UserError(f"{path}: cannot be read: it is no JSON object; export the model again")
    return settings


def read_window(model_dir: Path) -> str:
    """Return ``short`` if config.json says that the model was tuned for short windows, else ``full``.

    Raises:
        UserError: config.json cannot be read.
    """
    config = _read_settings(model_dir / "config.json")
    return "short" if config.get("window") == "short" else "full"


def is_ct2_directory(path: Path) -> bool:
    """Whether ``path`` has a CTranslate2 model: model.bin and a vocabulary."""
    return (path / "model.bin").is_file() and any(path.glob("vocabulary.*"))
