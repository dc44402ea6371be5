#!/usr/bin/env python3
"""Join the scores of several experiments into one Markdown table, or one JSON list.

Reads EXP_DIR/results.json, which pyscripts/make_report.py writes. Without EXP_DIR it takes exp/*, and exp/* of every
corpus under egs/.

Examples:
  pyscripts/collect_results.py                               # everything, to the screen
  pyscripts/collect_results.py --metrics wer exp/r8 exp/r32  # two experiments
  pyscripts/collect_results.py --format rows --metrics "wer bleu" exp/small  # rows for a RESULTS.md
  pyscripts/collect_results.py --format json --output all.json
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.cli import log, make_parser, run_main
from utils.errors import UserError
from utils.score.forms import FORMS


def main() -> None:
    """Parse the options, collect, write."""
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("--metrics", default="wer cer mer bleu", help="some of wer, cer, mer, ter, bleu, chrf")
    add("--form", default="", choices=["", *FORMS],
        help="of the texts: spoken, written or raw (default: the one that each experiment's report leads with)")
    add("--format", default="markdown", choices=["markdown", "rows", "json"],
        help="rows: a row for each system, to paste into a corpus' RESULTS.md; json: all rows of results.json")
    add("--output", type=Path, metavar="FILE", help="write to this file instead of the screen")
    add("exp_dirs", nargs="*", type=Path, metavar="EXP_DIR", help="experiments (default: all)")
    args = parser.parse_args()

    from utils.filesystem import atomic_open
    from utils.report.experiments import METRICS, find_experiments, joined_json, joined_table, pasted_rows, read_results

    metrics = args.metrics.split()
    if unknown := [metric for metric in metrics if metric not in METRICS]:
        raise UserError(f"--metrics: unknown metric {unknown[0]!r}. Use some of: {' '.join(METRICS)}")
    root = Path.cwd()
    exp_dirs = args.exp_dirs or find_experiments(root)
    if not exp_dirs:
        raise UserError(f"no exp/*/results.json and no egs/*/exp/*/results.json in {root}. Name the experiments")
    results = read_results(exp_dirs, root)
    if args.format == "json":
        text = joined_json(results)
    else:
        text = (pasted_rows if args.format == "rows" else joined_table)(results, metrics, args.form) + "\n"
    if args.output is None:
        print(text, end="")
        return
    with atomic_open(args.output) as stream:
        stream.write(text)
    log(f"wrote {args.output}: {len(results)} experiments")


if __name__ == "__main__":
    run_main(main)
