#!/usr/bin/env python3
"""Check the lists of each task and merge them into one Kaldi data directory (stage 1).

Reads SET/TASK/{wav.scp,text[,utt2spk]} of the tasks that exist and writes
SET/{wav.scp,text,utt2spk,spk2utt,utt2dur}; after an error nothing is written. SET/left_out.tsv lists lines that were
dropped, SET/doubtful.tsv lines that were kept in doubt, SET/machine_made.json records a teacher's translations; each is
written only if there are such lines. A line is `id|language|task value` or `id | language | task -> value`. Audio paths
are relative to the working directory, or else to the list's directory.

Example: pyscripts/merge_lists.py --tokenizer download/whisper-base data/train
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.audio.constants import WINDOW_SECONDS
from utils.cli import boolean, log, make_parser, run_main
from utils.data.data_directory import (
    MergeOptions,
    merge_task_lists,
    sorted_by_speaker,
    summary,
    write_data_directory,
)
from utils.data.lists import problem_report
from utils.data.text_cleaning import TAG_RULES


def main() -> None:
    """Parse the options, merge, write, log a summary."""
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("directory", type=Path, metavar="SET", help="data directory, for example data/train")
    add("--tasks", default="transcribe translate", help="tasks to merge, if their lists exist")
    add("--languages", default="", help="languages to keep, names or codes; empty: all")
    add("--tokenizer", type=Path, metavar="MODEL_DIR",
        help="refuse texts over Whisper's 448 tokens, counted with this model's tokenizer")
    add("--check-audio", type=boolean, default="true", metavar="true|false",
        help="open all audio; without this, utt2dur is not written")
    add("--max-seconds", type=float, default=WINDOW_SECONDS, help="longest audio, at most Whisper's 30 s")
    add("--skip-bad", type=boolean, default="false", metavar="true|false",
        help="drop lines that cannot be used and list them in SET/left_out.tsv")
    add("--skip-too-fast", type=boolean, default="false", metavar="true|false",
        help="drop texts that nobody can say in the time of their audio; false: name them, list them in "
             "SET/doubtful.tsv, and keep them")
    add("--tags", default="keep", metavar="|".join(TAG_RULES),
        help="texts with tags such as <unk>, [noise], (laughs): keep them and name them, remove the tags, or drop the "
             "lines")
    add("--held-out", type=Path, action="append", default=[], metavar="SET",
        help="data directory that is evaluated on; lines whose sentence its lists have, too, are named")
    add("--skip-overlap", type=boolean, default="false", metavar="true|false",
        help="drop the lines that --held-out names")
    add("--allow-pipes", type=boolean, default="false", metavar="true|false",
        help="run `command |` entries of wav.scp")
    add("--nj", type=int, default=min(8, os.cpu_count() or 1), help="number of audio files that are opened at once")
    args = parser.parse_args()

    merged = merge_task_lists(args.directory, MergeOptions(
        tasks=args.tasks.split(), languages=args.languages.split(), tokenizer=args.tokenizer,
        check_audio=args.check_audio, max_seconds=args.max_seconds, skip_bad=args.skip_bad,
        skip_too_fast=args.skip_too_fast, tags=args.tags, skip_overlap=args.skip_overlap, held_out=args.held_out,
        allow_pipes=args.allow_pipes, nj=args.nj))
    write_data_directory(args.directory, merged)
    if merged.problems:
        log(f"{args.directory}: dropped {merged.n_dropped} of {merged.n_seen} targets, "
            f"{len(merged.problems)} lines; reasons in {args.directory / 'left_out.tsv'}")
    for option, doubtful in merged.doubtful.items():
        log(f"warning: {args.directory}: {len(doubtful)} of {len(merged.text)} targets are doubtful and kept "
            f"({option} drops them; all are in {args.directory / 'doubtful.tsv'}):\n{problem_report(doubtful, 5)}")
    if not sorted_by_speaker(merged.utt2spk):
        log(f"{args.directory}: Kaldi's own tools will refuse utt2spk: speakers are no prefixes of the keys")
    log(f"{args.directory}: merged\n{summary(merged)}")


if __name__ == "__main__":
    run_main(main)
