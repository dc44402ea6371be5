#!/usr/bin/env python3
"""Decode a set; all tasks of an utterance share one encoder pass (stages 4 and 5).

    python3 pyscripts/predict.py --config my.yaml
    python3 pyscripts/predict.py --set predict.model_path=exp/lora --decode-dir exp/lora/decode_test_lora \\
        --system lora --set-name test ...

--backend transformers decodes predict.eval with predict.model_path (an adapter on model.model_path, or a whole model)
and writes predict.result_file, one `key text` a line; predict.backend may let CTranslate2 compute that, too.
--backend ctranslate2 decodes dev_env.dev with dev_env.ctranslate_model_path and writes dev_env.result_file. With
--decode-dir the hypotheses go to a directory that score.py reads; with predict.also_greedy, those of greedy search go
to DECODE_DIR-greedy, from the same encoder pass.

Several jobs can decode a set together. Each writes its part of the directory, and --combine joins the parts. The number
of jobs does not change the hypotheses.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.cli import add_config_options, add_job_options, check_job, log, make_parser, run_main
from utils.config import load_config


def main() -> None:
    """Parse the command line and decode."""
    parser = make_parser(__doc__)
    add_config_options(parser)
    parser.add_argument("--backend", choices=["transformers", "ctranslate2"], default="transformers",
                        help="transformers for the tuned model, ctranslate2 for an exported one")
    parser.add_argument("--decode-dir", type=Path, help="directory for text and decode.json")
    parser.add_argument("--system", default="tuned", help="the system's name in reports")
    parser.add_argument("--set-name", default="eval", help="the set's name in reports")
    parser.add_argument("--strength", type=float, metavar="SHARE",
                        help="share of an adapter's trained weight, as 0.7; default: the one in its directory")
    add_job_options(parser, combine="join the parts in --decode-dir instead of decoding")
    args = parser.parse_args()
    check_job(parser, args)
    if (args.num_jobs > 1 or args.combine) and not args.decode_dir:
        parser.error("several jobs need --decode-dir, where each writes its part")
    if args.strength is not None and (args.backend == "ctranslate2" or args.strength < 0):
        parser.error("--strength: 0 or more, and of an adapter, which --backend transformers decodes")
    if args.combine:
        from utils.decode.decode_directory import greedy_directory, join_decode_parts, part_directory

        for directory in (args.decode_dir, greedy_directory(args.decode_dir)):
            if directory == args.decode_dir or part_directory(directory, 1).is_dir():
                log(f"{directory}: {join_decode_parts(directory, args.num_jobs)} hypotheses")
        return
    config = load_config(args.config, args.overrides)

    from utils.decode.predict import Share, predict, predict_ct2

    share = Share(args.job, args.num_jobs)
    if args.backend == "transformers":
        result_file = config.predict.result_file
        hypotheses = predict(config, args.decode_dir, args.system, args.set_name, share, args.strength)
    else:
        result_file = config.dev_env.result_file
        hypotheses = predict_ct2(config, args.decode_dir, args.system, args.set_name, share)
    log(f"{len(hypotheses)} hypotheses written to {args.decode_dir or result_file}")


if __name__ == "__main__":
    run_main(main)
