#!/usr/bin/env python3
"""Compare exported models with the tuned model; fail if one is worse than allowed (stage 5).

    pyscripts/check_export.py --tolerance 1.0 --merged-dir exp/lora/merged --feats-scp dump/test/feats.scp \\
        exp/lora/decode_test_lora exp/lora/decode_test_ct2-int8 exp/lora/decode_test_ct2-float32

Prints size on disk, speed, memory, WER or CER and BLEU (normalised, all languages) and the share of equal hypotheses
and tokens, and writes them to EXPORTED/parity.json for the report. It fails if a figure is worse by more than the
tolerance and significantly (paired bootstrap, p < 0.05); a loss that is not significant is only reported, and so is
the smallest loss that the set could have shown. With --merged-dir and --feats-scp it finds the causes: it compares ids
and settings in the files, decodes the utterances that differ with a float32 export, and computes the tuned model's
probabilities of both tokens. --recorded true judges by an existing parity.json. Directories of several sets can be
given: for each set the tuned model's, then the exports'.
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
    parser.add_argument("--tolerance", type=float, default=1.0,
                        help="points of WER, CER, MER or BLEU over all languages that an export may lose")
    parser.add_argument("--merged-dir", type=Path, help="the whole tuned model")
    parser.add_argument("--feats-scp", type=Path, help="features of the set")
    parser.add_argument("--examine", type=int, default=20,
                        help="number of differences whose cause is determined; 0: none")
    parser.add_argument("--recorded", type=boolean, default="false", metavar="true|false",
                        help="do not compare again: judge by EXPORTED/parity.json")
    parser.add_argument("directories", type=Path, nargs="+", metavar="DECODE_DIR",
                        help="scored decode directories: the tuned model's and those of exports, of one set or several")
    args = parser.parse_args()

    from utils.export.parity import read_parity
    from utils.report.exports import difference_lines, fallback_notes, parity_table

    losses = []
    for tuned, exports in _by_set(args.directories):
        records = []
        for exported in exports:
            record = read_parity(exported) if args.recorded else _compare(tuned, exported, args)
            if record is None:
                raise UserError(f"{exported}: was not compared; leave --recorded out")
            records.append(record)
        print(parity_table(records))
        differences = [line for record in records for line in difference_lines(record)]  # the report has recorded ones
        undecided = [line for record in records
                     for line in [*record.undecided(args.tolerance), record.limits(args.tolerance)] if line]
        for line in fallback_notes(records) + undecided + ([] if args.recorded else differences):
            print(line)
        losses += [f"{exported} is worse than {tuned} by more than {args.tolerance}: {', '.join(lost)}"
                   for exported, record in zip(exports, records, strict=True) if (lost := record.lost(args.tolerance))]
    if losses:
        sys.stdout.flush()
        raise UserError("\n".join(losses))


def _by_set(directories: list[Path]) -> list[tuple[Path, list[Path]]]:
    """The tuned model's directory of each set, and those of its exports.

    Raises:
        UserError: a set has no tuned model, several, or no export.
    """
    from utils.score.comparison import read_decode

    sets: dict[str, tuple[list[Path], list[Path]]] = {}
    for directory in directories:
        decode = read_decode(directory)
        sets.setdefault(decode.set, ([], []))[decode.is_exported].append(directory)
    for name, (tuned, exports) in sets.items():
        if len(tuned) != 1 or not exports:
            raise UserError(f"{name}: give the decode directory of one tuned model, and of one export or more")
    return [(tuned, exports) for (tuned,), exports in sets.values()]


def _compare(tuned: Path, exported: Path, args: argparse.Namespace) -> "Parity":
    from utils.export.ct2_check import check_ct2
    from utils.export.parity import compare_export, model_of, write_parity

    is_ct2 = (model_of(exported) / "model.bin").is_file()  # other forms have files of their own
    if args.merged_dir and is_ct2:
        check_ct2(model_of(exported), args.merged_dir)
    parity = compare_export(tuned, exported, args.merged_dir)
    if (chosen := parity.spread(args.examine)) and args.merged_dir and args.feats_scp and is_ct2:
        from utils.config import Lists
        from utils.export.parity_causes import examine

        examine(chosen, args.merged_dir, Lists(feats_scp=str(args.feats_scp)), tuned, exported)
    write_parity(parity, exported)
    return parity


if __name__ == "__main__":
    run_main(main)
