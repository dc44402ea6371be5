#!/usr/bin/env python3
"""Download and unpack parts of LibriSpeech (OpenSLR 12) and of its mini set (OpenSLR 31).

Each part becomes DOWNLOAD_DIR/PART/LibriSpeech/PART. A corpus that you have unpacked already is found as
DOWNLOAD_DIR/LibriSpeech/PART; DOWNLOAD_DIR may be a link. Archives put into DOWNLOAD_DIR are not fetched again.

Example: local/download_librispeech.py --parts train-clean-100,dev-clean,test-clean download/librispeech
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from utils.cli import log, make_parser, run_main
from utils.data.languages import chosen_languages
from utils.download.corpus_archives import Archive, Places, add_download_options, get_archives, places_of
from utils.errors import UserError

MIRRORS = ("https://www.openslr.org/resources", "https://us.openslr.org/resources", "https://openslr.elda.org/resources")
LICENCE = "LibriSpeech: CC BY 4.0, Vassil Panayotov, Guoguo Chen, Daniel Povey, Sanjeev Khudanpur, 2015"
# flac does not get smaller in a tar.gz, so a part unpacks to about its archive's size. MD5s are OpenSLR's md5sum.txt.
PARTS = {part: Archive(f"{part}.tar.gz", f"{resource}/{part}.tar.gz", megabytes * 10**6, megabytes * 10**6, md5)
         for part, resource, megabytes, md5 in (
             ("train-clean-5", 31, 333, "5df7d4e78065366204ca6845bb08f490"),
             ("dev-clean-2", 31, 126, "6d7ab67ac6a1d2c993d050e16d61080d"),
             ("dev-clean", 12, 338, "42e2234ba48799c1f50f24a7926300a1"),
             ("dev-other", 12, 315, "c8d0bcc9cca99d4f8b62fcc847357931"),
             ("test-clean", 12, 347, "32fa31d27d2e1cad72775fee3f4849a9"),
             ("test-other", 12, 329, "fb5a50374b501bb3bac4815ee91d3135"),
             ("train-clean-100", 12, 6388, "2a93770f6d5c6c964bc36631d331a522"),
             ("train-clean-360", 12, 23_100, "c0e676e450a7ff2f54aeade5171606fa"),
             ("train-other-500", 12, 30_600, "d1a0fd59409feb2c614ce4d30c387708"),
         )}
MINI = ("train-clean-5", "dev-clean-2", "test-clean")


def download_librispeech(download_dir: Path, parts: Sequence[str], places: Places) -> None:
    """Get each of the parts, unless ``part_directory`` finds it.

    Args:
        parts: names in ``PARTS``.

    Raises:
        UserError: an unknown part, or see ``get_archives``.
    """
    if unknown := [part for part in parts if part not in PARTS]:
        raise UserError(f"--parts {unknown[0]}: LibriSpeech has {' '.join(PARTS)}")
    missing = [PARTS[part] for part in parts if not (download_dir / "LibriSpeech" / part).is_dir()]
    get_archives(missing, download_dir, places)
    log(f"licence: {LICENCE}")


def part_directory(download_dir: Path, part: str) -> Path:
    """The directory with a part's speakers.

    Raises:
        UserError: there is none.
    """
    places = [download_dir / "LibriSpeech" / part, download_dir / part / "LibriSpeech" / part]
    found = next((place for place in places if place.is_dir()), None)
    if found is None:
        raise UserError(f"{places[0]} and {places[1]}: neither is there: download it with --parts {part}")
    return found


def main() -> None:
    """Parse the options and download."""
    parser = make_parser(__doc__)
    parser.add_argument("--parts", default=",".join(MINI), help=f"some of {' '.join(PARTS)}, separated by commas")
    add_download_options(parser, languages="en or nothing: LibriSpeech is English")
    args = parser.parse_args()
    chosen_languages(args.languages, ["en"])
    download_librispeech(args.download_dir, args.parts.replace(",", " ").split(), places_of(args, MIRRORS))


if __name__ == "__main__":
    run_main(main)
