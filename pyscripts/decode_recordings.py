#!/usr/bin/env python3
"""Decode recordings in the runtimes that users run a model in, and compare the times of segments.

Reads LONG_DIR/{wav.scp,segments,text}. Writes for each runtime OUT_DIR/decode_SET-RUNTIME_SYSTEM with
  text           hypotheses, cut into the reference's segments (minimum WER): score them with score.py
  decode.json    how it was decoded, and how long it took
  times.json     errors of the segments' starts and ends
  segments.jsonl what the runtime wrote, with its times

The model is a CTranslate2 directory, or a checkpoint (an adapter on --base, or a whole model), which is converted.

Example:
  pyscripts/decode_recordings.py --model exp/lora/ct2_int8 --system ct2-int8 data/test_long exp/lora/recordings
"""

import sys
from contextlib import nullcontext
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.cli import log, make_parser, run_main
from utils.errors import UserError

RUNTIMES = "faster-whisper faster-whisper-batched recognizer"


def main() -> None:
    """Parse the command line, decode."""
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("--model", type=Path, required=True, metavar="DIR", help="a CTranslate2 directory, or a checkpoint")
    add("--base", type=Path, metavar="DIR", help="the base model of an adapter")
    add("--system", default="tuned", help="the system's name in reports")
    add("--runtimes", default=RUNTIMES, help=f"some of {RUNTIMES}")
    add("--device", default="auto", choices=["auto", "cpu", "cuda"])
    add("--compute-type", default="auto", help="a type of CTranslate2; compare models in one type")
    add("--threads", type=int, default=0, metavar="N", help="of faster-whisper on a CPU; 0: its own default")
    add("long_dir", type=Path, metavar="LONG_DIR", help="a directory that make_long_set.py wrote")
    add("out_dir", type=Path, metavar="OUT_DIR")
    args = parser.parse_args()
    names = args.runtimes.split()
    if unknown := [name for name in names if name not in RUNTIMES.split()]:
        raise UserError(f"--runtimes: no {unknown[0]}; there are {RUNTIMES}")

    from utils.decode.ct2_conversion import as_ct2
    from utils.transcribe.recordings_decoding import decode_long_set

    is_ct2 = (args.model / "model.bin").is_file()
    converted = args.out_dir / f"model_{args.system}.partial"
    with nullcontext(args.model) if is_ct2 else as_ct2(args.model, args.base or args.model, converted) as model_dir:
        for name in names:
            for line in decode_long_set(args.long_dir, args.out_dir, args.system, name, model_dir, args.device,
                                        args.compute_type, args.threads):
                log(line)


if __name__ == "__main__":
    run_main(main)
