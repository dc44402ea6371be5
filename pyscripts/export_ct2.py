#!/usr/bin/env python3
"""Merge the tuned model, convert it to CTranslate2 and decode with it (stage 5).

    python3 pyscripts/export_ct2.py --config my.yaml
    python3 pyscripts/export_ct2.py --set predict.model_path=exp/lora --set dev_env.quantization=int8 \\
        --set dev_env.ori_model_path=download/whisper-base --set dev_env.ctranslate_model_path=exp/lora/ct2_int8

Merges predict.model_path into dev_env.ori_model_path and writes dev_env.ctranslate_model_path; then, if dev_env.dev
names a set, decodes it and writes dev_env.result_file.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.cli import add_config_options, log, make_parser, run_main
from utils.config import load_config, require_file
from utils.errors import UserError


def main() -> None:
    """Parse the command line, convert, decode."""
    parser = make_parser(__doc__)
    add_config_options(parser)
    parser.add_argument("--merged-dir", type=Path, help="directory for the merged Hugging Face model; "
                        "default: dev_env.ctranslate_model_path.merged")
    args = parser.parse_args()
    config = load_config(args.config, args.overrides)
    exported = config.dev_env
    tuned = require_file(config.predict.model_path, "predict.model_path")
    base = require_file(exported.ori_model_path, "dev_env.ori_model_path")
    if not exported.ctranslate_model_path:
        raise UserError("dev_env.ctranslate_model_path is empty; say where the CTranslate2 model should go")

    from utils.export import convert, merge

    merged_dir = args.merged_dir or Path(f"{exported.ctranslate_model_path}.merged")
    merge(tuned, base, merged_dir)
    convert(merged_dir, exported.ctranslate_model_path, exported.quantization, config.predict.window)
    if exported.dev.wav_scp or exported.dev.feats_scp:
        from utils.decode.predict import predict_ct2

        log(f"{len(predict_ct2(config))} hypotheses written to {exported.result_file}")


if __name__ == "__main__":
    run_main(main)
