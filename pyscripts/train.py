#!/usr/bin/env python3
"""Tune Whisper on transcription and translation at once (stage 3).

    python3 pyscripts/train.py --config conf/whisper_multitask.yaml
    python3 pyscripts/train.py --config my.yaml --set model.lora.r=8 --set data.train.text=data/train/text

The configuration has all settings; --set changes single keys of it. The same command again continues an interrupted
training, and does nothing if the training is complete. --ngpu 4 trains in four processes with a GPU each; every
optimizer step then takes four batches.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.cli import add_config_options, boolean, make_parser, run_main
from utils.config import load_config


def main() -> None:
    """Parse the command line and train."""
    parser = make_parser(__doc__)
    add_config_options(parser)
    parser.add_argument("--overwrite", type=boolean, default="false", metavar="true|false",
                        help="delete another or a finished training in the output directory first")
    parser.add_argument("--ngpu", type=int, default=1, help="number of processes on each machine, with a GPU each")
    parser.add_argument("--num-nodes", type=int, default=1,
                        help="number of machines, those of the Slurm job that this runs in")
    args = parser.parse_args()
    if args.num_nodes < 1 or args.ngpu < 0:
        parser.error("--num-nodes must be at least 1, --ngpu at least 0")
    config = load_config(args.config, args.overrides)

    if args.ngpu > 1 or args.num_nodes > 1:
        from utils.train.launch import exit_with_launcher, is_launched, launch

        if not is_launched():
            launch(max(args.ngpu, 1), args.num_nodes, sys.argv)
            return
        exit_with_launcher()

    from utils.train.finetune import tune

    tune(config, args.overwrite)


if __name__ == "__main__":
    run_main(main)
