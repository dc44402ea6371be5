#!/usr/bin/env python3
"""Download the default corpus: telephone prompts in five languages, 2 h of speech (Asterisk core sounds 1.6.1).

Writes DOWNLOAD_DIR/LANG/{core-sounds-LANG.txt,**.g722}. Sources, in this order: existing files (that directory,
or the release tarball put into DOWNLOAD_DIR by hand), the upstream release tarballs, Debian's packages. Nothing
is downloaded twice.

Example: local/download_prompts.py --languages "en fr" download/prompts
"""

from __future__ import annotations

import gzip
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from local.prompts import LANGUAGES, VERSION, check_languages, transcript_file
from utils.cli import log, make_parser, run_main
from utils.data.languages import chosen_languages
from utils.download.archives import MARKER
from utils.download.corpus_archives import Archive, Places, get_archives
from utils.download.debian import download_packages, unpack_package
from utils.errors import UserError
from utils.filesystem import atomic_directory

URL = "https://downloads.asterisk.org/pub/telephony/sounds/releases"
SOURCES = ("files", "upstream", "debian")
_N_BYTES, _UNPACKED_BYTES = 12_000_000, 15_000_000  # approximate sizes of a language
SHA256 = {
    "en": "59891033e764d9dffc5ccdd78e845a1c8ea6bed0b434128bb0199c63ef591770",
    "es": "3c474f73cc4f65478b3cf05ab0c5da19c8ce408699f61491f6aafba450cb540a",
    "fr": "7ff3ca96bbb295a6458e6eb1ff92690d9a5d0db0b4ddfa2c488237e4d251efbe",
    "it": "44a7fd7b067ff7f71df7fec31f9a8c960e13d35ca30c31878913c4020bfc00b6",
    "ru": "fde2a071b811a081219138693d6813d122d91c2c3423936274b110b97645b61b",
}
CREDITS = {
    "en": "CC BY-SA 3.0, voice Allison Smith, funded by Digium",
    "es": "CC BY-SA 3.0, voice Allison Smith, funded by Digium",
    "fr": "CC BY-SA 3.0, voice June Wallack, text Clod Patry, Kristopher Lalletti, June Wallack, "
          "funded by Digium, Unlimitel, BGM Informatique",
    "it": "CC BY 3.0, voice Carlo Flora, text Silvia Petrin",
    "ru": "CC BY 3.0, voice and text provided by Maxim Topal, ivrvoice.ru",
}


def download_prompts(download_dir: Path, languages: list[str], source: str = "auto",
                     url: str = URL) -> None:
    """Download each of the languages, and English, whose texts are the translations of the others.

    Args:
        download_dir: directory for one directory per language.
        languages: codes of ``LANGUAGES``.
        source: one of ``SOURCES``, or "auto" to try them in turn.
        url: address of the directory with the release tarballs.

    Raises:
        UserError: no source has a language; the message says what was tried, and where files can be put by hand.
    """
    check_languages(languages)
    wanted = list(dict.fromkeys(["en", *languages]))
    upstream_answers = True
    for language in wanted:
        sources = list(SOURCES) if source == "auto" else [source]
        if not upstream_answers:  # do not wait again for a host that cannot be reached
            sources.remove("upstream")
        used, failures = _get_language(language, download_dir, sources, url)
        upstream_answers = upstream_answers and (source != "auto" or "upstream" not in failures)
        if used is None:
            raise UserError(_nothing_found(language, download_dir, failures))
        log(f"{language}: {download_dir / language} ({used})")
    for language in wanted:
        log(f"licence of the {language} prompts: {CREDITS[language]}")


def _get_language(language: str, download_dir: Path, sources: list[str],
                  url: str) -> tuple[str | None, dict[str, str]]:
    """Try the sources in turn; return the one that worked, or None, and the errors of the others."""
    directory = download_dir / language
    archive = archive_of(language)
    failures: dict[str, str] = {}
    if (directory / MARKER).is_file():
        return (directory / MARKER).read_text(encoding="utf-8").strip(), failures
    for source in sources:
        try:
            if source == "files" and directory.is_dir():
                return _check_own_files(directory, language), failures
            if source == "files" and not (download_dir / archive.name).is_file():
                continue
            if source == "debian":
                with atomic_directory(directory) as partial:
                    _from_debian(language, partial)
                    _check_own_files(partial, language)
                    (partial / MARKER).write_text(f"from {source}\n", encoding="utf-8")
            else:
                get_archives([archive], download_dir, Places([url] if source == "upstream" else []))
            return f"from {source}", failures
        except UserError as error:
            failures[source] = str(error)
            log(f"{language}: {source}: {error}")
    return None, failures


def archive_of(language: str) -> Archive:
    """Return the release tarball of a language; users may put it into the download directory by hand."""
    name = f"asterisk-core-sounds-{language}-g722-{VERSION}.tar.gz"
    return Archive(name, name, _N_BYTES, _UNPACKED_BYTES, SHA256[language], unpacked_as=language)


def _nothing_found(language: str, download_dir: Path, failures: dict[str, str]) -> str:
    tried = "".join(f"\n  {source}: {failure}" for source, failure in failures.items())
    return (f"no {language} prompts. Tried: {tried or 'files: none there'}\n"
            f"Put {archive_of(language).name} into {download_dir}, or "
            f"core-sounds-{language}.txt and its *.g722 files into {download_dir / language}, and run again")


def _check_own_files(directory: Path, language: str) -> str:
    """Check that there are transcripts and audio; the preparation checks whether they are complete."""
    if not transcript_file(directory, language).is_file():
        raise UserError(f"{directory} has no core-sounds-{language}.txt (or .txt.gz)")
    if next(directory.rglob("*.g722"), None) is None:
        raise UserError(f"{directory} has no *.g722 files")
    return "files already there"


def _from_debian(language: str, directory: Path) -> None:
    """Download and unpack Debian's two packages of a language, without root; apt checks their signatures."""
    names = [f"asterisk-core-sounds-{language}", f"asterisk-core-sounds-{language}-g722"]
    with tempfile.TemporaryDirectory(prefix="prompts.") as temporary:
        work = Path(temporary)
        for package in download_packages(names, work):
            unpack_package(package, work / "root")
        sounds = work / "root/usr/share/asterisk/sounds"
        for audio in sounds.rglob("*.g722"):
            target = directory.joinpath(*audio.relative_to(sounds).parts[1:])  # parts[0] names the voice
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(audio, target)
        gzipped = work / f"root/usr/share/doc/{names[0]}/core-sounds-{language}.txt.gz"
        if gzipped.is_file():
            transcript_file(directory, language).write_bytes(gzip.decompress(gzipped.read_bytes()))


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--languages", default="", help=f"some of {' '.join(LANGUAGES)}; empty: all; en is added")
    parser.add_argument("--source", choices=("auto", *SOURCES), default="auto", help="source to download from")
    parser.add_argument("--url", default=URL, help="address of the directory with the release tarballs")
    parser.add_argument("download_dir", type=Path, help="directory for one directory per language")
    args = parser.parse_args()
    download_prompts(args.download_dir, chosen_languages(args.languages, LANGUAGES), args.source, args.url)


if __name__ == "__main__":
    run_main(main)
