#!/usr/bin/env python3
"""Write a model that stage 5 merged as a file for whisper.cpp.

Example: pyscripts/export_ggml.py --type q5_0 exp/TAG/merged exp/TAG/ggml-q5_0.bin
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.cli import make_parser, run_main


def main() -> None:
    """Parse the options and write the file."""
    from utils.export.ggml import GGML_TYPES, convert_to_ggml

    parser = make_parser(__doc__)
    parser.add_argument("--type", default="f16", metavar="|".join(GGML_TYPES),
                        help="of the weights; all but f16 need tools/requirements-export.txt")
    parser.add_argument("merged_dir", type=Path, metavar="MERGED", help="whole Hugging Face directory")
    parser.add_argument("file", type=Path, metavar="FILE", help="file to write, for example ggml-f16.bin")
    args = parser.parse_args()
    convert_to_ggml(args.merged_dir, args.file, args.type)


if __name__ == "__main__":
    run_main(main)
