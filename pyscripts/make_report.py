#!/usr/bin/env python3
"""Collect the scores of an experiment's decode directories into one report.

Reads EXP_DIR/decode_*/{decode.json,scores.json,utterances.jsonl}, as pyscripts/score.py left them, and
EXP_DIR/train_summary.json if there is one. Writes
  EXP_DIR/results.json   all figures, for machines
  EXP_DIR/RESULTS.md     systems side by side, differences with p-values, speed, and how to repeat it
and prints the main table.

Example:
  pyscripts/make_report.py --command "./run.sh --tag lora" exp/lora
"""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.cli import log, make_parser, run_main
from utils.errors import UserError


def parse_args() -> Namespace:
    parser = make_parser(__doc__)
    parser.add_argument("--title", help="heading of the report (default: the name of EXP_DIR)")
    parser.add_argument("--command", default="", help="what repeats the experiment, for the report")
    parser.add_argument("--forget-set", default="", metavar="SETS",
                        help="sets that were decoded to see what tuning cost elsewhere")
    parser.add_argument("--data", type=Path, default=Path("data"), metavar="DATA_DIR",
                        help="holds the sets' directories, which say whether a machine wrote their translations")
    parser.add_argument("--bootstrap", type=int, default=1000, metavar="N", help="bootstrap resamples")
    parser.add_argument("exp_dir", metavar="EXP_DIR", type=Path, help="holds the decode_*")
    return parser.parse_args()


def main() -> None:
    args = parse_args()

    from utils.filesystem import atomic_open, write_json
    from utils.provenance import provenance
    from utils.report.exports import screen_lines
    from utils.report.results_md import bullets, render, screen_table
    from utils.report.sentences import facts, findings, forgotten, marked_rows, reference_warnings
    from utils.score.comparison import collect, compare
    from utils.train.records import training_summary

    decodes = collect(args.exp_dir)
    comparisons = compare(decodes, args.bootstrap)
    forget_sets = args.forget_set.split()
    if missing := set(forget_sets) - {decode.set for decode in decodes}:
        raise UserError(f"--forget-set {' '.join(sorted(missing))}: not decoded in {args.exp_dir}")
    title = args.title or f"Results of {args.exp_dir.resolve().name}"
    header = facts(provenance(args.command), training_summary(args.exp_dir), decodes)
    warnings = reference_warnings(decodes, args.data)
    report = render(title, [*(f"**{warning}**" for warning in warnings), *header], decodes, comparisons, forget_sets)

    write_json(args.exp_dir / "results.json", marked_rows(decodes, args.data))
    with atomic_open(args.exp_dir / "RESULTS.md") as stream:
        stream.write(report)
    sentences = warnings + findings(comparisons) + forgotten(comparisons, forget_sets)
    print(screen_table(decodes), bullets(sentences), sep="\n\n")
    print(*screen_lines(decodes), sep="\n", flush=True)
    log(f"wrote {args.exp_dir / 'RESULTS.md'} and results.json")


if __name__ == "__main__":
    run_main(main)
