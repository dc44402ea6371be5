#!/usr/bin/env python3
"""Print how the systems do on recordings; fail if an export is worse there than the base model (stage 5).

Reads EXP_DIR/recordings/decode_*, which decode_recordings.py and score.py wrote. It fails if a score over all languages
is worse than the base model's in the same runtime by more than the tolerance, and significantly (paired bootstrap,
p < 0.05).

Example: pyscripts/check_recordings.py --tolerance 1.0 exp/lora
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.cli import make_parser, run_main
from utils.errors import UserError


def main() -> None:
    """Parse the command line, print, judge."""
    parser = make_parser(__doc__)
    parser.add_argument("--tolerance", type=float, default=1.0, help="points of WER, CER or BLEU that may be lost")
    parser.add_argument("exp_dir", type=Path, metavar="EXP_DIR")
    args = parser.parse_args()

    from tabulate import tabulate

    from utils.report.recordings import recording_rows
    from utils.score.recording_scores import systems_on_recordings

    systems = systems_on_recordings(args.exp_dir)
    if not systems:
        raise UserError(f"{args.exp_dir}/recordings: nothing is decoded there. Decode: pyscripts/decode_recordings.py")
    header, *rows = recording_rows(args.exp_dir)
    print(tabulate(rows, header, tablefmt="pipe", disable_numparse=True), flush=True)
    losses = [f"{system.decode.system} in {system.runtime} is worse than the base model on recordings by more than "
              f"{args.tolerance}: {', '.join(lost)}" for system in systems if (lost := system.lost(args.tolerance))]
    if losses:
        raise UserError("\n".join(losses))


if __name__ == "__main__":
    run_main(main)
