"""What a model directory was made from. Not in checkpoints.py, which imports torch: stage 0 and reports do not."""

from __future__ import annotations

from pathlib import Path

ORIGIN = ".origin"  # names what a directory was made from


def base_model_name(model_dir: Path) -> str:
    """What stage 0 made ``model_dir`` from: a name on the hub, or a directory; without a note of it the directory."""
    origin = model_dir / ORIGIN
    return origin.read_text(encoding="utf-8").strip() if origin.is_file() else str(model_dir)
