#!/usr/bin/env python3
"""Write a model that stage 5 merged in the form of another program: whisper.cpp or OpenAI's whisper.

    pyscripts/export_form.py ggml-q5_0 exp/TAG/merged exp/TAG/ggml-q5_0
    pyscripts/export_form.py --decode data/test --decode-dir exp/TAG/decode_test_openai \\
        openai exp/TAG/merged exp/TAG/openai

Without --decode it writes the form's file into DIRECTORY: ggml-model.bin or model.pt. With it, it decodes a set with
this file in the program itself, for score.py. Quantizing and decoding need tools/requirements-export.txt.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.cli import log, make_parser, run_main


def main() -> None:
    """Parse the options; write the file, or decode with it."""
    parser = make_parser(__doc__)
    parser.add_argument("--decode", type=Path, metavar="DATA_DIR", help="decode this set instead of writing")
    parser.add_argument("--decode-dir", type=Path, help="with --decode: directory for text and decode.json")
    parser.add_argument("--beam-size", type=int, default=5, help="1: greedy search")
    parser.add_argument("--window", choices=["short", "full"], default="full",
                        help="short: encode only what is said, where the program can (whisper.cpp's audio_ctx)")
    parser.add_argument("form", metavar="FORM", help="ggml-f16, ggml-q8_0, ggml-q5_1, ggml-q5_0 or openai")
    parser.add_argument("merged_dir", type=Path, metavar="MERGED", help="whole Hugging Face directory")
    parser.add_argument("directory", type=Path, metavar="DIRECTORY", help="of the form's file")
    args = parser.parse_args()
    if bool(args.decode) != bool(args.decode_dir):
        parser.error("--decode and --decode-dir go together")

    from utils.export.forms import decode_form, form_named

    form = form_named(args.form)
    if not args.decode:
        args.directory.mkdir(parents=True, exist_ok=True)
        form.write(args.merged_dir, args.directory / form.file)
        return
    number = decode_form(args.form, args.directory, args.decode, args.decode_dir, beam_size=args.beam_size,
                         short=args.window == "short", threads=len(os.sched_getaffinity(0)))
    log(f"{number} hypotheses written to {args.decode_dir}")


if __name__ == "__main__":
    run_main(main)
