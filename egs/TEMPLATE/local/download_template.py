#!/usr/bin/env python3
"""Get the corpus template into DOWNLOAD_DIR.

Example: local/download_template.py download/template
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from utils.cli import make_parser, run_main
from utils.data.tables import find_tables
from utils.download.corpus_archives import Archive, Places, add_download_options, get_archives, places_of

# A corpus that can be downloaded names its archives and the places that have them; see egs/librispeech.
MIRRORS: Sequence[str] = ()  # "https://example.org/corpora"
ARCHIVES: Sequence[Archive] = ()  # Archive("speech.tar.gz", "v1/speech.tar.gz", n_bytes, unpacked_bytes, checksum)


def download_template(download_dir: Path, places: Places) -> None:
    """Download and unpack the archives; without any, the folder must have been put or linked there.

    Raises:
        UserError: see ``get_archives`` and ``find_tables``.
    """
    get_archives(ARCHIVES, download_dir, places)
    if not ARCHIVES:
        find_tables(download_dir)


def main() -> None:
    """Parse the options and download."""
    parser = make_parser(__doc__)
    add_download_options(parser, languages="names or codes; empty: all that the table has")
    args = parser.parse_args()
    download_template(args.download_dir, places_of(args, MIRRORS))


if __name__ == "__main__":
    run_main(main)
