#!/usr/bin/env python3
"""Compare exported models with the tuned model they came from; fail if one is clearly worse than allowed (stage 5).

    pyscripts/check_export.py --tolerance 1.0 --merged-dir exp/lora/merged --feats-scp dump/test/feats.scp \\
        exp/lora/decode_test_lora exp/lora/decode_test_ct2-int8 exp/lora/decode_test_ct2-float32

Prints size on disk, speed, memory, WER or CER and BLEU (normalised, all languages) and the share of equal hypotheses
and tokens, and writes them to EXPORTED/parity.json for the report. It fails if a figure is worse by more than the
tolerance and by more than chance explains (paired bootstrap, p < 0.05); what chance may have done is said. With
--merged-dir and --feats-scp it looks for the reasons: the files' ids and settings are compared, the utterances that
differ are decoded by a float32 export, and the tuned model says how close the choice was. --recorded true only judges
by what parity.json says already.
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.cli import boolean, make_parser, run_main
from utils.errors import UserError

if TYPE_CHECKING:
    from utils.export.parity import Parity


def main() -> None:
    """Parse the command line and compare."""
    parser = make_parser(__doc__)
    parser.add_argument("--tolerance", type=float, default=1.0, help="points of WER, CER or BLEU, over all languages")
    parser.add_argument("--merged-dir", type=Path, help="the tuned model as a whole")
    parser.add_argument("--feats-scp", type=Path, help="features of the set")
    parser.add_argument("--examine", type=int, default=20, help="differences whose reason is looked for; 0: none")
    parser.add_argument("--recorded", type=boolean, default=False, metavar="BOOL",
                        help="do not compare again: judge by EXPORTED/parity.json")
    parser.add_argument("tuned", type=Path, help="scored decode directory of the tuned model")
    parser.add_argument("exported", type=Path, nargs="+", help="scored decode directories of exports")
    args = parser.parse_args()

    from utils.export.parity import read_parity
    from utils.report.exports import difference_lines, fallback_notes, parity_table

    records = []
    for exported in args.exported:
        record = read_parity(exported) if args.recorded else _compare(exported, args)
        if record is None:
            raise UserError(f"{exported}: was not compared; leave --recorded out")
        records.append(record)
    print(parity_table(records))
    differences = [line for one in records for line in difference_lines(one)]  # recorded ones are in the report
    undecided = [line for one in records for line in one.undecided(args.tolerance)]
    for line in fallback_notes(records) + undecided + ([] if args.recorded else differences):
        print(line)
    losses = [f"{exported} is worse than {args.tuned} by more than {args.tolerance}: {', '.join(lost)}"
              for exported, one in zip(args.exported, records, strict=True) if (lost := one.lost(args.tolerance))]
    if losses:
        sys.stdout.flush()
        raise UserError("\n".join(losses))


def _compare(exported: Path, args: argparse.Namespace) -> "Parity":
    from utils.export.ct2_check import check_ct2
    from utils.export.parity import compare_export, model_of, write_parity

    if args.merged_dir:
        check_ct2(model_of(exported), args.merged_dir)
    parity = compare_export(args.tuned, exported, args.merged_dir)
    if (chosen := parity.spread(args.examine)) and args.merged_dir and args.feats_scp:
        from utils.config import Lists
        from utils.export.parity_causes import examine

        examine(chosen, args.merged_dir, Lists(feats_scp=str(args.feats_scp)), args.tuned, exported)
    write_parity(parity, exported)
    return parity


if __name__ == "__main__":
    run_main(main)
