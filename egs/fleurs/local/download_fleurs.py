#!/usr/bin/env python3
"""Download and unpack FLEURS in some languages, about 3 GB each, from its archives on the Hugging Face hub.

Writes DOWNLOAD_DIR/CONFIG/{SET.tsv,audio/SET/} for each language, with FLEURS's own CONFIG (fr_fr) and SET (train,
dev, test). The English sentences are always downloaded, because they are the translations of all others. The
environment variable HF_ENDPOINT names the hub, as in Hugging Face's own tools.

Example: local/download_fleurs.py --languages "fr sw" download/fleurs
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from utils.cli import log, make_parser, run_main
from utils.data.languages import chosen_languages
from utils.download.corpus_archives import Archive, Places, add_download_options, get_archives, places_of
from utils.download.fetch import fetch
from utils.errors import UserError

REVISION = "70bb2e84b976b7e960aa89f1c648e09c59f894dd"  # of the repository google/fleurs
LICENCE = "FLEURS: CC BY 4.0, Alexis Conneau et al., Google, 2022"
SETS = ("train", "dev", "test")
MEGABYTES = {"train": 2000, "dev": 300, "test": 700}  # of the archives, roughly: languages differ
UNPACKED = 1.5  # unpacked size as a multiple of the archive's, roughly, at most

TABLE = Path(__file__).resolve().parents[1] / "conf/languages.tsv"
LANGUAGES = dict(line.split("\t") for line in TABLE.read_text(encoding="utf-8").splitlines() if line[0] != "#")
CONFIGS = {code: config for config, code in LANGUAGES.items() if code != "-"}
UNKNOWN_TO_WHISPER = [config for config, code in LANGUAGES.items() if code == "-"]


def download_fleurs(download_dir: Path, languages: Sequence[str], places: Places) -> None:
    """Get the sentences and recordings of ``languages`` (codes in ``CONFIGS``), and the English sentences.

    Raises:
        UserError: see ``get_archives`` and ``fetch``.
    """
    for config in dict.fromkeys([CONFIGS["en"], *(CONFIGS[language] for language in languages)]):
        for set_ in SETS:
            name = f"{config}/{set_}.tsv"
            own = next((place / name for place in places.own if (place / name).is_file()), None)
            if own is None:
                fetch([f"{url.rstrip('/')}/{name}" for url in places.urls], download_dir / name)
            elif not (target := download_dir / name).is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(own.read_bytes())
    archives = [archive for language in languages for archive in archives_of(CONFIGS[language])]
    get_archives(archives, download_dir, places)
    log(f"licence: {LICENCE}")


def archives_of(config: str) -> list[Archive]:
    """The archives of one language. No checksums are published, so only gzip's own are checked."""
    names = {set_: f"{config}/audio/{set_}.tar.gz" for set_ in SETS}
    return [Archive(name, name, n_bytes := MEGABYTES[set_] * 10**6, round(UNPACKED * n_bytes))
            for set_, name in names.items()]


def fleurs_languages(option: str) -> list[str]:
    """The codes that ``--languages`` names: names or codes of Whisper's, or FLEURS's own (``fr_fr``).

    Raises:
        UserError: FLEURS lacks the language, or Whisper does.
    """
    names = [LANGUAGES.get(name, name) for name in option.replace(",", " ").split()]
    if "-" in names:
        raise UserError(f"--languages {option}: Whisper knows none of {' '.join(UNKNOWN_TO_WHISPER)}")
    return chosen_languages(" ".join(names), list(CONFIGS))


def main() -> None:
    """Parse the options and download."""
    hub = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    parser = make_parser(__doc__)
    add_download_options(parser, languages="names or codes; empty: all that Whisper knows, 250 GB")
    args = parser.parse_args()
    places = places_of(args, [f"{hub.rstrip('/')}/datasets/google/fleurs/resolve/{REVISION}/data"])
    download_fleurs(args.download_dir, fleurs_languages(args.languages), places)


if __name__ == "__main__":
    run_main(main)
