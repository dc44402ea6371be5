#!/usr/bin/env python3
"""Score a decode directory: WER or CER of its transcriptions, BLEU and chrF of its translations.

Reads DECODE_DIR/text (one `id|language|task hypothesis` per line) and DECODE_DIR/decode.json. Writes there
  scores.json                  every figure with its 95 % bootstrap interval, per language and over all,
                               on raw text ("normalizer": "none") and on normalised text
  utterances.jsonl             the counts behind the figures, per utterance
  score_{wer,cer}/result.txt   alignments; ref.trn and hyp.trn for NIST's sclite (-s -e utf-8 -i wsj)

Example:
  pyscripts/score.py --ref data/test/text exp/lora/decode_test_base
"""

from __future__ import annotations

import shutil
import sys
from argparse import Namespace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.cli import log, make_parser, run_main
from utils.errors import UserError

MIN_RESAMPLES = 100  # fewer say nothing about the outer 2.5 %


def parse_args() -> Namespace:
    parser = make_parser(__doc__)
    parser.add_argument("--ref", required=True, metavar="TEXT", help="references, the set's text file")
    parser.add_argument("--normalizer", default="auto", choices=["auto", "none", "basic", "whisper-en", "zh"],
                        help="what is done to both texts first; auto: whisper-en for English speech, zh for "
                             "Chinese, basic for other languages and for translations")
    parser.add_argument("--metric", default="auto", choices=["auto", "wer", "cer"],
                        help="of transcriptions; auto: cer for languages written without spaces")
    parser.add_argument("--bootstrap", type=int, default=1000, metavar="N", help="bootstrap resamples")
    parser.add_argument("--utt2spk", metavar="FILE",
                        help="speakers, Kaldi's `key speaker`; 5 or more speakers are resampled as wholes")
    parser.add_argument("decode_dir", metavar="DECODE_DIR", type=Path, help="where predict.py wrote")
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    if args.bootstrap < MIN_RESAMPLES:
        raise UserError(f"--bootstrap {args.bootstrap}: give at least {MIN_RESAMPLES}")

    from utils.lists import read_list
    from utils.score_files import read_decode_info, write_alignments, write_json, write_statistics
    from utils.scoring import measure, pair_texts, results

    decode = read_decode_info(args.decode_dir)
    text = args.decode_dir / "text"
    utterances = pair_texts(read_list(args.ref), read_list(text, allow_empty=True), where=str(text),
                            utt2spk=read_list(args.utt2spk) if args.utt2spk else None)
    normalized = measure(utterances, args.normalizer, args.metric)
    raw = [] if args.normalizer == "none" else measure(utterances, "none", args.metric)
    rows = [row for measurement in normalized + raw for row in results(measurement, decode, args.bootstrap)]

    for metric in ("wer", "cer"):
        shutil.rmtree(args.decode_dir / f"score_{metric}", ignore_errors=True)
    for measurement in normalized:
        if measurement.metric in ("wer", "cer"):
            write_alignments(args.decode_dir / f"score_{measurement.metric}", measurement)
    write_statistics(args.decode_dir / "utterances.jsonl", normalized + raw)
    write_json(args.decode_dir / "scores.json", rows)
    for row in rows:
        if row["language"] == "all":
            log("{metric} {value:.1f} ({n_utts} utterances, normalizer {normalizer})".format(**row))
    log(f"wrote {args.decode_dir / 'scores.json'}")


if __name__ == "__main__":
    run_main(main)
