#!/usr/bin/env python3
"""Choose the share of its trained weight at which an adapter is used: W + share * alpha / r * B A.

Reads EXP_DIR/strength/decode_SET_{base,lora-SHARE}, which predict.py and score.py wrote. The best share on the dev set
is chosen among those that lose nothing significant on the forget sets. It goes into EXP_DIR/adapter_config.json, as
lora_alpha, so that all programs use it, and EXP_DIR/strength.json keeps the trials. `--strengths 1` restores the
trained weight and needs no trials.

Example: pyscripts/choose_strength.py --strengths "0.5 0.7 1" --dev-set dev --forget-sets dialogues_dev exp/lora
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.cli import log, make_parser, run_main
from utils.errors import UserError


def main() -> None:
    """Parse the command line, choose, write."""
    parser = make_parser(__doc__)
    parser.add_argument("--strengths", required=True, metavar="SHARES", help="shares to choose from, as \"0.5 0.7 1\"")
    parser.add_argument("--dev-set", default="dev", metavar="SET", help="set that the best share is chosen on")
    parser.add_argument("--forget-sets", default="", metavar="SETS",
                        help="sets on which the chosen share may not lose anything significant")
    parser.add_argument("exp_dir", type=Path, metavar="EXP_DIR", help="the experiment, an adapter's directory")
    args = parser.parse_args()
    try:
        shares = [float(share) for share in args.strengths.split()]
    except ValueError:
        shares = []
    if not shares or not all(0 < share <= 2 for share in shares):
        raise UserError(f"--strengths {args.strengths}: give numbers above 0, up to 2, as \"0.5 0.7 1\"")
    if not (args.exp_dir / "adapter_config.json").is_file():
        raise UserError(f"{args.exp_dir}: no adapter there, and only adapters have a strength. Give --strength 1")

    from utils.model.strength import keep_strength
    from utils.report.strength import strength_rows
    from utils.score.comparison import collect
    from utils.score.strength_choice import RULE, best_trial, trials

    if len(shares) == 1:
        keep_strength(args.exp_dir, shares[0], {})
        log(f"{args.exp_dir}: the adapter is used at {shares[0]:g} of its trained weight")
        return
    decodes = collect(args.exp_dir / "strength")
    tried = trials(decodes, shares, args.dev_set, args.forget_sets.split())
    best = best_trial(tried)
    record = {"rule": RULE, "dev_set": args.dev_set, "trials": [trial.as_record() for trial in tried]}
    keep_strength(args.exp_dir, best.share, record)
    for row in strength_rows(args.exp_dir):
        log("  ".join(f"{cell:>12}" for cell in row))
    log(f"{args.exp_dir}: the adapter is used at {best.share:g} of its trained weight: {RULE}"
        + ("" if not best.losses else "; all lose something, this one least"))


if __name__ == "__main__":
    run_main(main)
