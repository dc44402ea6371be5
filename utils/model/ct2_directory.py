"""CTranslate2 directories, and the window for which a model was tuned.

The window is a key in config.json, which other runtimes ignore.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

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


def read_window(model_dir: Path) -> str:
    """Return ``short`` if config.json says that the model was tuned for short windows, else ``full``.

    Raises:
        UserError: config.json cannot be read.
    """
    try:
        config = json.loads((model_dir / "config.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{model_dir}/config.json: cannot be read: {error}; export the model again") from None
    return "short" if config.get("window") == "short" else "full"


def is_ct2_directory(path: Path) -> bool:
    """Whether ``path`` has a CTranslate2 model: model.bin and a vocabulary."""
    return (path / "model.bin").is_file() and any(path.glob("vocabulary.*"))
