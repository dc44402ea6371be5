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


def parse_args() -> Namespace:
    parser = make_parser(__doc__)
    parser.add_argument("--title", help="heading of the report (default: the name of EXP_DIR)")
    parser.add_argument("--command", default="", help="what repeats the experiment, for the report")
    parser.add_argument("--bootstrap", type=int, default=1000, metavar="N", help="bootstrap resamples")
    parser.add_argument("exp_dir", metavar="EXP_DIR", type=Path, help="holds the decode_*")
    return parser.parse_args()


def main() -> None:
    args = parse_args()

    from utils.comparison import collect, compare
    from utils.filesystem import atomic_open
    from utils.provenance import provenance
    from utils.report import bullets, findings, render, screen_table
    from utils.score_files import read_json, write_json

    decodes = collect(args.exp_dir)
    comparisons = compare(decodes, args.bootstrap)
    summary_file = args.exp_dir / "train_summary.json"
    summary = read_json(summary_file, "Train again: pyscripts/train.py") if summary_file.exists() else {}
    title = args.title or f"Results of {args.exp_dir.resolve().name}"
    report = render(title, provenance(args.command), summary, decodes, comparisons)

    write_json(args.exp_dir / "results.json", [row for decode in decodes for row in decode.rows])
    with atomic_open(args.exp_dir / "RESULTS.md") as stream:
        stream.write(report)
    print(screen_table(decodes), bullets(findings(comparisons)), sep="\n\n", flush=True)
    log(f"wrote {args.exp_dir / 'RESULTS.md'} and results.json")


if __name__ == "__main__":
    run_main(main)
