#!/usr/bin/env python3
"""Check the word times of exports against the base model's; choose other alignment heads if they are worse (stage 5).

    pyscripts/check_word_times.py --base-dir download/whisper-base --merged-dir exp/lora/merged \\
        --test data/test --dev data/dev --output exp/lora/word_times.json exp/lora/ct2_int8

Recordings of --test are joined with silence between: there the last word of one and the first of the next must meet.
If they do so less often with the export, heads that follow the audio are chosen on --dev and put into the settings of
all exports, where that helps. The outcome is one sentence, on the screen and in --output.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.cli import log, make_parser, run_main


def main() -> None:
    """Parse the command line, measure, write."""
    parser = make_parser(__doc__)
    parser.add_argument("--base-dir", type=Path, required=True, help="the base model, a Hugging Face directory")
    parser.add_argument("--merged-dir", type=Path, required=True, help="the tuned model as a whole")
    parser.add_argument("--test", type=Path, required=True, help="data directory to measure on")
    parser.add_argument("--dev", type=Path, required=True, help="data directory to choose heads on")
    parser.add_argument("--tolerance", type=float, default=5.0,
                        help="points of per cent of such places that an export may lose")
    parser.add_argument("--clips", type=int, default=24, help="of up to 30 s; about three places each")
    parser.add_argument("--output", type=Path, required=True, help="JSON file for the outcome")
    parser.add_argument("exports", type=Path, nargs="+", help="exports, named ct2_TYPE; the first is measured")
    args = parser.parse_args()

    from utils.export.word_time_check import check_word_times
    from utils.filesystem import write_json

    found = check_word_times(args.base_dir, args.merged_dir, args.exports, args.test, args.dev,
                             tolerance=args.tolerance, n_clips=args.clips)
    write_json(args.output, found)
    log(found["sentence"])


if __name__ == "__main__":
    run_main(main)
