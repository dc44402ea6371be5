#!/usr/bin/env python3
"""Fail if an exported model scores worse than the model it came from, by more than a tolerance (stage 5).

    pyscripts/check_export.py --tolerance 1.0 exp/lora/decode_test_lora exp/lora/decode_test_ct2-int8

Compares WER or CER and BLEU, normalised, of every language and of all together.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.cli import make_parser, run_main


def main() -> None:
    """Parse the command line and compare."""
    parser = make_parser(__doc__)
    parser.add_argument("--tolerance", type=float, default=1.0, help="points of WER, CER or BLEU, over all languages")
    parser.add_argument("tuned", type=Path, help="scored decode directory of the tuned model")
    parser.add_argument("exported", type=Path, help="scored decode directory of the export")
    args = parser.parse_args()

    from utils.parity import check_parity

    print(check_parity(args.tuned, args.exported, args.tolerance))


if __name__ == "__main__":
    run_main(main)
