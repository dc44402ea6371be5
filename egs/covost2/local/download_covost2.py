#!/usr/bin/env python3
"""Download CoVoST 2's translations into English, and check and unpack the Common Voice 4 that you put beside them.

Common Voice may only be had from its own site, after agreeing to its terms: choose "Common Voice Corpus 4" and a
language at https://commonvoice.mozilla.org/datasets and put into DOWNLOAD_DIR/common_voice one of
  LANG.tar.gz              the archive as it comes, for example cv-corpus-4-2019-12-10-fr.tar.gz or fr.tar.gz
  LANG/                    what is in it: clips/*.mp3 and validated.tsv; may be a link
  cv-corpus-4-.../LANG/    the same, as newer archives unpack
LANG is Common Voice's code: zh-CN and sv-SE, otherwise Whisper's.

Example: local/download_covost2.py --languages "cy sl" download/covost2
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from utils.cli import log, make_parser, run_main
from utils.data.languages import chosen_languages
from utils.download.archives import unpack
from utils.download.corpus_archives import Archive, Places, add_download_options, get_archives, places_of
from utils.errors import UserError
from utils.filesystem import require_free_bytes

MIRRORS = ("https://dl.fbaipublicfiles.com/covost",)
LICENCE = "CoVoST 2: CC0, Changhan Wang, Anne Wu, Juan Pino, 2020; Common Voice: CC0, Mozilla"
REGIONS = {"zh": "zh-CN", "sv": "sv-SE"}  # Whisper's code and Common Voice's, where they differ
LANGUAGES = ("fr", "de", "es", "ca", "it", "ru", "zh", "pt", "fa", "et", "mn", "nl", "tr", "ar", "sv", "lv", "sl", "ta",
             "ja", "id", "cy")
_WHERE = "Common Voice must be downloaded by hand, because of its terms; README.md and --help say how"


def download_covost2(download_dir: Path, languages: Sequence[str], places: Places) -> None:
    """Get the translations from some languages, and make their Common Voice ready.

    Args:
        languages: of ``LANGUAGES``.

    Raises:
        UserError: Common Voice is not there or not complete, all languages in one message; or see ``get_archives``.
    """
    missing = [fault for language in languages if (fault := _make_ready(download_dir, language))]
    if missing:
        raise UserError("\n  ".join([f"{_WHERE}. Missing:", *missing]))
    archives = [Archive(f"covost_v2.{name}_en.tsv.tar.gz", f"covost_v2.{name}_en.tsv.tar.gz", 30_000_000, 100_000_000)
                for name in map(corpus_code, languages)]  # these sizes are limits; no checksums are published
    get_archives(archives, download_dir, places)
    log(f"licence: {LICENCE}")


def _make_ready(download_dir: Path, language: str) -> str:
    """Unpack a language's Common Voice if needed; returns a sentence on what is missing, or ""."""
    name, place = corpus_code(language), download_dir / "common_voice"
    directory, archive = common_voice(download_dir, language), _archive(download_dir, language)
    if directory is None and archive is not None:
        require_free_bytes(place, archive.stat().st_size, f"unpacking {archive.name}")  # mp3 is not compressed further
        unpack(archive, place / name)
        directory = common_voice(download_dir, language)
    if directory is None:
        return f"{name}: neither {place / f'{name}.tar.gz'} nor {place / name / 'validated.tsv'}"
    if next((directory / "clips").glob("*.mp3"), None) is None:
        return f"{name}: {directory} has validated.tsv, but no clips/*.mp3"
    return ""


def common_voice(download_dir: Path, language: str) -> Path | None:
    """The directory with a language's ``validated.tsv`` and ``clips``, or None."""
    name, place = corpus_code(language), download_dir / "common_voice"
    tables = (path for inner in (name, f"cv-corpus-*/{name}", f"{name}/cv-corpus-*/{name}")
              for path in sorted(place.glob(f"{inner}/validated.tsv")))
    return next((table.parent for table in tables), None)


def _archive(download_dir: Path, language: str) -> Path | None:
    """Common Voice's archive of a language, as its site or its users name it, or None."""
    name, place = corpus_code(language), download_dir / "common_voice"
    return next((path for pattern in (f"{name}.tar.gz", f"*-{name}.tar.gz") for path in sorted(place.glob(pattern))),
                None)


def corpus_code(language: str) -> str:
    """Common Voice's and CoVoST's code of a language, from Whisper's code."""
    return REGIONS.get(language, language)


def languages_of(option: str, download_dir: Path) -> list[str]:
    """The languages that ``--languages`` names, by Whisper's codes; without it those whose Common Voice is there.

    Raises:
        UserError: a name is unknown, or there is no Common Voice at all.
    """
    whisper = {region: language for language, region in REGIONS.items()}
    if names := option.replace(",", " ").split():
        return chosen_languages(" ".join(whisper.get(name, name) for name in names), LANGUAGES)
    found = [language for language in LANGUAGES
             if common_voice(download_dir, language) or _archive(download_dir, language)]
    if not found:
        raise UserError(f"{_WHERE}. {download_dir / 'common_voice'}: has none of "
                        f"{' '.join(map(corpus_code, LANGUAGES))}")
    return found


def main() -> None:
    """Parse the options, check and download."""
    parser = make_parser(__doc__)
    add_download_options(parser, languages=f"some of {' '.join(LANGUAGES)}; empty: those whose Common Voice is there")
    args = parser.parse_args()
    download_covost2(args.download_dir, languages_of(args.languages, args.download_dir), places_of(args, MIRRORS))


if __name__ == "__main__":
    run_main(main)
