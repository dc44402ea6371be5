"""The origin of a model directory. Apart from checkpoints.py, because stage 0 and reports do not import torch."""

from __future__ import annotations

from pathlib import Path

ORIGIN = ".origin"  # file with the name of the model that a directory was made from


def base_model_name(model_dir: Path) -> str:
    """Return the hub name or directory that stage 0 made ``model_dir`` from; ``model_dir`` itself if not recorded."""
    origin = model_dir / ORIGIN
    return origin.read_text(encoding="utf-8").strip() if origin.is_file() else str(model_dir)
