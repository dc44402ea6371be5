#!/usr/bin/env python3
"""Score a decode directory: error rates of its transcriptions, BLEU and chrF of its translations.

Reads DECODE_DIR/text (one `id|language|task hypothesis` per line) and DECODE_DIR/decode.json. Writes there
  scores.json                  every score with its 95 % bootstrap interval, per language and over all; "form" is
                               spoken, written (both normalised) or raw
  unseen.json                  with --relatives: the scores without the targets that it names
  utterances.jsonl             the counts of every utterance
  suspects.tsv                 outputs that are wrong as a whole: empty, loops, made up, wrong language or task
  score_METRIC/result.txt      for wer, cer, mer, ter: most frequent errors, worst utterances, alignments;
                               beside it ref.trn and hyp.trn for NIST's sclite (-s -e utf-8 -i wsj)

Example:
  pyscripts/score.py --ref data/test/text exp/lora/decode_test_base
"""

from __future__ import annotations

import os
import shutil
import sys
from argparse import Namespace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.cli import log, make_parser, run_main
from utils.errors import UserError
from utils.score.forms import spell_digits

MIN_RESAMPLES = 100  # with fewer, the outer 2.5 % are too few to estimate


def parse_args() -> Namespace:
    parser = make_parser(__doc__)
    parser.add_argument("--ref", required=True, metavar="TEXT", help="references, the set's text file")
    parser.add_argument("--normalizer", default="auto",
                        choices=["auto", "none", "basic", "whisper-en", "zh", "whisper-basic"],
                        help="what is done to both texts first; auto: whisper-en for English speech, zh for "
                             "Chinese, basic for other languages and for translations; whisper-basic: OpenAI's for "
                             "all languages, for comparison with published figures")
    parser.add_argument("--digits", default="auto", choices=["auto", "keep", "spell"],
                        help="spell: the spoken form leads. Numbers in digits are written in words first (21: "
                             "twenty-one, 二十一; whisper-en writes all numbers as digits), and accents are dropped in "
                             "languages of Latin letters whose references have hardly any. The written form stands "
                             "beside it; keep scores that alone. auto: spell, where --normalizer permits")
    parser.add_argument("--metric", default="auto", choices=["auto", "wer", "cer", "mer"],
                        help="error rate of transcriptions; auto: wer, or cer for languages written without spaces, "
                             "and mer, too, if they are mixed with English")
    parser.add_argument("--bpe-model", metavar="FILE",
                        help="sentencepiece model (pyscripts/train_bpe.py): also compute TER, the token error rate")
    parser.add_argument("--relatives", type=Path, metavar="FILE",
                        help="targets that have a relative in training (pyscripts/find_relatives.py): score the others "
                             "apart, too")
    parser.add_argument("--bootstrap", type=int, default=1000, metavar="N", help="bootstrap resamples")
    parser.add_argument("--utt2spk", metavar="FILE",
                        help="speakers, lines `key speaker`; with 5 or more, the bootstrap draws speakers")
    parser.add_argument("--nj", type=int, default=os.cpu_count() or 1, help="number of processes")
    parser.add_argument("decode_dir", metavar="DECODE_DIR", type=Path, help="the directory that predict.py wrote")
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    if args.bootstrap < MIN_RESAMPLES:
        raise UserError(f"--bootstrap {args.bootstrap}: give at least {MIN_RESAMPLES}")
    args.digits = spell_digits(args.normalizer, args.digits)
    if args.digits == "spell" and args.normalizer in ("none", "whisper-en"):
        raise UserError(f"--digits spell: --normalizer {args.normalizer} leaves numbers as digits. Choose auto, "
                        "basic, zh or whisper-basic")
    if args.nj < 1:
        raise UserError(f"--nj {args.nj}: give at least 1")

    from utils.data.lists import read_list
    from utils.decode.decode_directory import read_decode_info
    from utils.filesystem import write_json
    from utils.score.forms import languages_without_accents
    from utils.score.metrics import ScoringOptions, mixed_languages, pair_texts
    from utils.score.reference_check import check_translations
    from utils.score.score_directory import score_directory
    from utils.score.text_units import piece_splitter
    from utils.score.unseen import UNSEEN, read_relatives, score_unseen

    decode = read_decode_info(args.decode_dir)
    text = args.decode_dir / "text"
    utterances = pair_texts(read_list(args.ref), read_list(text, allow_empty=True), where=str(text),
                            utt2spk=read_list(args.utt2spk) if args.utt2spk else None)
    check_translations(utterances)
    if args.bpe_model:
        piece_splitter(args.bpe_model)  # refuses a bad file before the work starts
    related = read_relatives(args.relatives) if args.relatives else set()
    unaccented: frozenset[str] = frozenset()
    if args.digits == "spell":
        unaccented = languages_without_accents((utt.text_language, utt.reference) for utt in utterances)
    options = ScoringOptions(args.normalizer, args.metric, args.bpe_model, mixed_languages(utterances), args.digits,
                             unaccented)
    rows = score_directory(args.decode_dir, decode, utterances, options, args.bootstrap, args.nj)
    for metric in {"wer", "cer", "mer", "ter"} - {row["metric"] for row in rows}:  # of an earlier scoring
        shutil.rmtree(args.decode_dir / f"score_{metric}", ignore_errors=True)
    if args.relatives:
        write_json(args.decode_dir / UNSEEN, score_unseen(args.decode_dir, decode, utterances, rows, related,
                                                          args.bootstrap))
    write_json(args.decode_dir / "scores.json", rows)
    log(f"{len(utterances)} references = {len(utterances)} hypotheses scored")
    for row in rows:
        if row["language"] == "all":
            log("{metric} {value:.1f} ({n_utts} utterances, {form}, normalizer {normalizer})".format(**row))
    log(f"wrote {args.decode_dir / 'scores.json'}")


if __name__ == "__main__":
    run_main(main)
