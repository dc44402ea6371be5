#!/usr/bin/env python3
"""Translate the utterances of a set that have no translation with a larger Whisper, the teacher (stage 1, --teacher).

Reads SET/transcribe/{wav.scp,text[,utt2spk]} and decodes the audio in the translate task, at the native 30-s window.
Translations that are empty, looping, not English, far too long or far too short are left out. Writes
  SET/translate/{wav.scp,text[,utt2spk]}  humans' translations unchanged, and the teacher's
  SET/translate/machine_made              the lines of text that the teacher wrote
  SET/translate/machine_made.json         which teacher, when, how many; reports show it
  SET/teacher/NAME/                       all hypotheses (text), and what was left out and why (left_out.tsv)

Several jobs can share the decoding; --combine then writes the lists. Hypotheses that exist are not decoded again.
Another teacher's translations replace the first one's. English audio needs no translation.

Example:
  pyscripts/label_translations.py --teacher download/whisper-large-v3 data/train
  pyscripts/label_translations.py --teacher download/whisper-large-v3 --combine true data/train
"""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.cli import add_job_options, boolean, check_job, log, make_parser, run_main
from utils.errors import UserError


def parse_args() -> Namespace:
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("--teacher", type=Path, required=True, metavar="DIR",
        help="Whisper directory, Hugging Face's or CTranslate2's; the latter is faster on a CPU")
    add("--beam-size", type=int, default=5, help="1 is greedy search")
    add("--batch-size", type=int, default=8, help="utterances decoded together")
    add("--languages", default="", help="languages to translate, names or codes; empty: all")
    add("--allow-pipes", type=boolean, default="false", metavar="true|false", help="run `command |` entries of wav.scp")
    add_job_options(parser, combine="write the lists instead of decoding")
    add("data_dir", type=Path, metavar="SET", help="data directory, for example data/train")
    args = parser.parse_args()
    check_job(parser, args)
    if args.beam_size < 1 or args.batch_size < 1:
        parser.error("--beam-size and --batch-size: give 1 or more")
    if not args.teacher.is_dir():
        raise UserError(f"--teacher {args.teacher}: no such directory")
    return args


def main() -> None:
    args = parse_args()

    from utils.data.data_directory import MergeOptions
    from utils.teacher.labels import label, untranslated
    from utils.teacher.teacher import Teacher, decode

    if not (args.data_dir / "transcribe").is_dir():
        log(f"{args.data_dir}: has no transcripts, so there is nothing to translate")
        return
    teacher = Teacher(args.teacher, args.beam_size, args.batch_size)
    wanted = untranslated(args.data_dir, MergeOptions(languages=args.languages.split()).language_codes())
    if not args.combine:
        count = decode(teacher, args.data_dir, wanted.audio, args.job, args.num_jobs, args.allow_pipes)
        log(f"{args.data_dir}: {count} utterances translated by {teacher.name}")
        return
    record = label(teacher, args.data_dir, wanted)
    log(f"{args.data_dir}: {record['kept']} of {record['decoded']} translations by {teacher.name} kept; "
        f"{wanted.n_human} utterances have a human's, {wanted.n_english} are English")
    if dropped := record["dropped"]:
        log(f"{args.data_dir}: dropped {', '.join(f'{count} ({kind})' for kind, count in dropped.items())}: "
            f"{teacher.cache(args.data_dir) / 'left_out.tsv'}")


if __name__ == "__main__":
    run_main(main)
