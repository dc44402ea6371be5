#!/usr/bin/env python3
"""Import data of another toolkit: write the lists of a set, SET/TASK/{wav.scp,text[,utt2spk][,segments]}.

Audio is used where it lies; audio inside a container (parquet, tar, shar) is written to SET/audio with --extract true.
What is left out, and why, goes to the file SET_import_left_out.tsv beside SET. Then run: ./run.sh --corpus-name "".

Example: pyscripts/import_data.py --from nemo --language de manifest.json data/train
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.cli import boolean, make_parser, run_main
from utils.data.lists import TASKS
from utils.errors import UserError
from utils.importing.found import ImportOptions
from utils.importing.kinds import kinds_table, reader_of
from utils.importing.lists import import_entries

MEANINGS = ("audio", "text", "translation", "language", "speaker", "id")


def columns_of(option: str) -> dict[str, str]:
    """Names of columns by meaning, from ``meaning=name`` words.

    Raises:
        UserError: a word is no such pair, or its meaning is not known.
    """
    columns = {}
    try:
        words = shlex.split(option)
    except ValueError as error:
        raise UserError(f"--columns: {option!r}: {error}. Close the quote") from None
    for word in words:
        meaning, equals, name = word.partition("=")
        if meaning not in MEANINGS or not equals or not name:
            raise UserError(f"--columns: {word!r}: write MEANING=NAME, where MEANING is one of {' '.join(MEANINGS)}")
        columns[meaning] = name
    return columns


def main() -> None:
    """Parse the options, read, write."""
    parser = make_parser(__doc__)
    parser.epilog = f"KIND and SOURCE:\n{kinds_table()}"
    add = parser.add_argument
    add("--from", dest="kind", required=True, metavar="KIND", help="kind of SOURCE, see below")
    add("--language", default="", help="language of speech where SOURCE does not say it, a name or code")
    add("--task", default=TASKS[0], metavar="|".join(TASKS), help="what the text of SOURCE is, if it does not say it")
    add("--columns", default="", metavar="'MEANING=NAME ...'",
        help=f"columns of SOURCE (datasets, lhotse); meanings: {' '.join(MEANINGS)}")
    add("--extract", type=boolean, default="false", metavar="true|false",
        help="write audio that is inside a container to SET/audio, as flac at 16 kHz")
    add("--shards", default="", metavar="PATTERN", help="tar files with the audio of a NeMo manifest: 'audio_*.tar'")
    add("--clips", type=Path, help="directory of audio, if it is not clips/ beside a table of Common Voice")
    add("--config", default="", help="configuration of a data set on the hub")
    add("--split", default="train", help="split of a data set")
    add("--streaming", type=boolean, default="false", metavar="true|false",
        help="read a data set on the hub as it comes, without a copy here; needs --extract true")
    add("--allow-pipes", type=boolean, default="false", metavar="true|false",
        help="run `command |` entries of Kaldi's wav.scp, to know their lengths")
    add("source", metavar="SOURCE")
    add("set", type=Path, metavar="SET", help="data directory, for example data/train")
    args: argparse.Namespace = parser.parse_args()
    options = ImportOptions(args.language, args.task, columns_of(args.columns), args.config, args.split,
                            args.streaming, args.shards, args.clips)
    import_entries(reader_of(args.kind)(args.source, options), args.set, args.language, args.extract,
                   args.allow_pipes)


if __name__ == "__main__":
    run_main(main)
