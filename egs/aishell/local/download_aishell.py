#!/usr/bin/env python3
"""Download and unpack AISHELL-1 (OpenSLR 33): one archive, and in it one more for each of 400 speakers.

Fills DOWNLOAD_DIR/data_aishell/data_aishell/{transcript,wav/{train,dev,test}/SPEAKER}. A corpus that you have unpacked
already is found as DOWNLOAD_DIR/data_aishell/{transcript,wav}; DOWNLOAD_DIR may be a link. An archive put into
DOWNLOAD_DIR is not fetched again.

Example: local/download_aishell.py --archive /corpora/data_aishell.tgz download/aishell
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from utils.cli import log, make_parser, progress, run_main
from utils.data.languages import chosen_languages
from utils.download.archives import safe_extract
from utils.download.corpus_archives import Archive, Places, add_download_options, get_archives, places_of
from utils.errors import UserError
from utils.filesystem import require_free_bytes

MIRRORS = ("https://www.openslr.org/resources", "https://us.openslr.org/resources", "https://openslr.elda.org/resources")
LICENCE = "AISHELL-1: Apache 2.0, Beijing Shell Shell Technology Co. Ltd., 2017"
# Its MD5 stands in PaddleSpeech's dataset/aishell/aishell.py, its size in Kaldi's egs/aishell/s5. Unpacked it is the
# speakers' archives, and what is in them: 178 hours of 16-bit samples are 20.5 GB.
ARCHIVE = Archive("data_aishell.tgz", "33/data_aishell.tgz", 15_582_913_665, 15_600_000_000 + 20_500_000_000,
                  "2f494334227864a8a8fec932999db9d8")
TRANSCRIPTS = "transcript/aishell_transcript_v0.8.txt"
_UNPACKED_TIMES = 1.35  # a speaker's archive unpacks to


def download_aishell(download_dir: Path, places: Places) -> Path:
    """Get the archive and unpack it, speakers included, unless ``corpus_directory`` finds it complete.

    A speaker's archive is deleted when it is unpacked, so an interrupted run can continue.

    Returns:
        The directory with ``transcript`` and ``wav``.

    Raises:
        UserError: see ``get_archives``.
    """
    if not (download_dir / "data_aishell" / TRANSCRIPTS).is_file():
        get_archives([ARCHIVE], download_dir, places)
    corpus = corpus_directory(download_dir)
    speakers = sorted((corpus / "wav").glob("*.tar.gz"))
    n_bytes = sum(path.stat().st_size for path in speakers)
    require_free_bytes(corpus, round(n_bytes * _UNPACKED_TIMES), f"unpacking {len(speakers)} speakers")
    for speaker in progress(speakers, "unpack speakers", len(speakers), unit="speaker"):
        safe_extract(speaker, corpus / "wav")
        speaker.unlink()
    log(f"licence: {LICENCE}")
    return corpus


def corpus_directory(download_dir: Path) -> Path:
    """The directory with ``transcript`` and ``wav``.

    Raises:
        UserError: there is none.
    """
    places = [download_dir / "data_aishell", download_dir / "data_aishell" / "data_aishell"]
    found = next((place for place in places if (place / TRANSCRIPTS).is_file()), None)
    if found is None:
        raise UserError(f"{places[0] / TRANSCRIPTS} and {places[1] / TRANSCRIPTS}: neither is there: download the "
                        "corpus, ./run.sh --stage 0 --stop-stage 0")
    return found


def main() -> None:
    """Parse the options and download."""
    parser = make_parser(__doc__)
    add_download_options(parser, languages="zh or nothing: AISHELL-1 is Mandarin")
    args = parser.parse_args()
    chosen_languages(args.languages, ["zh"])
    download_aishell(args.download_dir, places_of(args, MIRRORS))


if __name__ == "__main__":
    run_main(main)
