#!/usr/bin/env python3
"""Write the lists of the corpus template: DATA_DIR/{train,dev,test}/{transcribe,translate}/{wav.scp,text}.

Reads the tables in DOWNLOAD_DIR (csv, tsv or jsonl) with columns path, text, translation, language, speaker, split, id,
and start and end, or offset and duration, in seconds; path and one of the texts are needed. Without split, the table's
name decides if it is train, dev or test, else a hash of the speaker, or of the path: 10 % become test and 10 % dev.
What is left out, and why, goes to DATA_DIR/template_left_out.tsv.

Example: local/prepare_template.py --language fr download/template data
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from utils.cli import make_parser, run_main
from utils.data.corpus_lists import CorpusUtterance, LeftOut, add_prepare_options, without_unusable, write_lists
from utils.data.corpus_table import FORM, table_utterances
from utils.data.languages import chosen_languages
from utils.data.tables import MISSING_WORDS, find_tables, missing_words, read_table

SETS = ("train", "dev", "test")


def prepare_template(download_dir: Path, data_dir: Path, languages: str = "",
                     language: str = "", missing: str = "") -> list[CorpusUtterance]:
    """Write the lists.

    Args:
        download_dir: has the table or tables, and the audio under the paths that they name.
        languages: names or codes to keep; empty: all.
        language: of rows without a language.
        missing: words that mean a missing value; ``words``: none of them does.

    Returns:
        The utterances of all sets.

    Raises:
        UserError: a table or a row of it cannot be used, or a set stays empty.
    """
    left_out: list[LeftOut] = []
    form = replace(FORM, missing=missing_words(missing))
    rows = [row for table in find_tables(download_dir) for row in read_table(table, form)]
    found = table_utterances(rows, download_dir, language, left_out)
    chosen = chosen_languages(languages, sorted({utterance.language for utterance in found}))
    utterances = without_unusable((utterance for utterance in found if utterance.language in chosen), left_out)
    write_lists("template", utterances, left_out, data_dir, SETS)
    return utterances


def main() -> None:
    """Parse the options and write the lists."""
    parser = make_parser(__doc__)
    parser.add_argument("--language", default="", help="language of rows that do not say it")
    parser.add_argument("--missing", default="", help=f"cells that are missing values, some of: "
                        f"{' '.join(MISSING_WORDS)}; or words, if none is; asked for when a table has such cells")
    add_prepare_options(parser, languages="names or codes; empty: all that the table has")
    args = parser.parse_args()
    prepare_template(args.download_dir, args.data_dir, args.languages, args.language, args.missing)


if __name__ == "__main__":
    run_main(main)
