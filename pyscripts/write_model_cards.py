#!/usr/bin/env python3
"""Write model cards: README.md in EXP_DIR (the adapter), EXP_DIR/merged and every EXP_DIR/ct2_TYPE (stage 5).

    pyscripts/write_model_cards.py --base-dir download/whisper-base --train-text data/train/text exp/lora
    pyscripts/write_model_cards.py --repo me/whisper-prompts ... exp/lora

A card has the YAML header that the Hugging Face hub reads (base model, languages, scores with intervals, licence), and
says how to use the files. With --repo its code names the repositories that pyscripts/push_to_hub.py makes, without it
the directories. The adapter's configuration gets the base model's name on the hub, so that PEFT finds it anywhere.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.cli import log, make_parser, run_main


def main() -> None:
    """Parse the command line and write."""
    parser = make_parser(__doc__)
    parser.add_argument("--base-dir", type=Path, required=True, help="the base model that was tuned")
    parser.add_argument("--base-model", default="",
                        help="its name on the hub, if stage 0 did not download it from there")
    parser.add_argument("--train-text", type=Path, required=True,
                        help="text of the training set, for languages and tasks")
    parser.add_argument("--data", type=Path, default=Path("data"), help="directory of the sets")
    parser.add_argument("--license", default="", help="licence of the published model, as the hub spells it; "
                        "empty: that of the base weights, or other")
    parser.add_argument("--corpus-name", default="", help="one of this recipe's corpora, whose licence is known")
    parser.add_argument("--data-license", default="", help="the training data's licence, for other corpora")
    parser.add_argument("--repo", default="", metavar="USER/NAME",
                        help="name on the hub, if the model will be published")
    parser.add_argument("exp_dir", type=Path, help="the experiment")
    args = parser.parse_args()

    from utils.data.known_corpora import known_corpus
    from utils.model.origin import base_model_name
    from utils.publish.model_card import Origin, open_experiment, write_cards

    data, data_licence = known_corpus(args.corpus_name)
    origin = Origin(args.base_model or base_model_name(args.base_dir), args.license, data,
                    args.data_license or data_licence)
    experiment = open_experiment(args.exp_dir, args.base_dir, origin, args.train_text, args.data, args.repo)
    for path in write_cards(experiment):
        log(f"wrote {path}")


if __name__ == "__main__":
    run_main(main)
