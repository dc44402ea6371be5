#!/usr/bin/env python3
"""Choose the recordings of a set, or join its utterances into some, to measure a model where it is used.

Reads SET_DIR/{wav.scp,text,utt2spk,segments}; writes LONG_DIR/{wav.scp,segments,text} as Kaldi has them. A set without
segments has no recordings: its utterances are joined into LONG_DIR/audio/*.flac.

Example: pyscripts/make_long_set.py data/test data/test_long
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.cli import log, make_parser, run_main
from utils.errors import UserError


def main() -> None:
    """Parse the command line, write the set."""
    parser = make_parser(__doc__)
    parser.add_argument("--seconds", type=float, default=100, help="length of a joined recording, about")
    parser.add_argument("--per-language", type=int, default=1, metavar="N", help="recordings of each language")
    parser.add_argument("set_dir", type=Path, metavar="SET_DIR")
    parser.add_argument("long_dir", type=Path, metavar="LONG_DIR")
    args = parser.parse_args()
    if args.seconds <= 0 or args.per_language < 1:
        raise UserError("--seconds and --per-language: give numbers above 0")

    from utils.data.long_sets import write_long_set

    count = write_long_set(args.set_dir, args.long_dir, args.seconds, args.per_language)
    log(f"{args.long_dir}: {count} recordings")


if __name__ == "__main__":
    run_main(main)
