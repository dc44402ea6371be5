#!/usr/bin/env python3
"""Tune Whisper on transcription and translation at once (stage 3).

    python3 pyscripts/train.py --config conf/whisper_multitask.yaml
    python3 pyscripts/train.py --config my.yaml --set model.lora.r=8 --set data.train.text=data/train/text

The configuration says everything; --set changes single keys of it. The same command again continues an
interrupted run, and does nothing when the training is complete.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.cli import boolean, make_parser, run_main
from utils.config import load_config


def main() -> None:
    """Parse the command line and train."""
    parser = make_parser(__doc__)
    parser.add_argument("--config", default="conf/whisper_multitask.yaml", help="YAML file")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides",
                        help="change a key of the configuration; may be repeated")
    parser.add_argument("--overwrite", type=boolean, default=False, metavar="true|false",
                        help="throw away another or finished training in the output directory")
    args = parser.parse_args()
    config = load_config(args.config, args.overrides)

    from utils.tuning import tune

    tune(config, args.overwrite)


if __name__ == "__main__":
    run_main(main)
