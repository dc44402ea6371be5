#!/usr/bin/env python3
"""Check the word times of exports against the base model's; choose other alignment heads if they are worse (stage 5).

    pyscripts/check_word_times.py --base-dir download/whisper-base --merged-dir exp/lora/merged \\
        --test data/test --dev data/dev --output exp/lora/word_times.json exp/lora/ct2_int8

Recordings of --test are joined with silence between them, in which the boundary of the words before and after must lie.
If it does so less often with the export, other heads are chosen on --dev and, if they help, written into the settings
of all exports. If they do not help, word times are switched off. The result is a sentence, printed and in --output.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.cli import log, make_parser, run_main


def main() -> None:
    """Parse the command line, measure, write."""
    parser = make_parser(__doc__)
    parser.add_argument("--base-dir", type=Path, required=True, help="the base model, a Hugging Face directory")
    parser.add_argument("--merged-dir", type=Path, required=True, help="the whole tuned model")
    parser.add_argument("--test", type=Path, required=True, help="data directory to measure on")
    parser.add_argument("--dev", type=Path, required=True, help="data directory to choose heads on")
    parser.add_argument("--tolerance", type=float, default=5.0,
                        help="percentage points of such boundaries that an export may lose")
    parser.add_argument("--clips", type=int, default=24, help="number of clips of joined recordings, up to 30 s each")
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
