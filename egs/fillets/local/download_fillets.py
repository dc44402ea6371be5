#!/usr/bin/env python3
"""Download the spoken dialogues of the game Fish Fillets NG: Czech and Dutch, 3.1 h, with English texts (GPL-2).

They are in three of Debian's packages, version 1.0.1-1.1. A package file (.deb) that you have is taken from
DOWNLOAD_DIR, or from --archive; the others are downloaded with apt-get, without root. Writes DOWNLOAD_DIR/PACKAGE with
script/ and sound/; pictures and music are left out.

Example: local/download_fillets.py download/fillets
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from utils.cli import log, make_parser, run_main
from utils.data.languages import chosen_languages
from utils.download.archives import MARKER
from utils.download.debian import download_packages, unpack_package
from utils.errors import UserError
from utils.filesystem import atomic_directory, require_free_bytes, sha256_of

VERSION = "1.0.1-1.1"
TEXTS = "fillets-ng-data"  # the package with the dialogues in writing
SHA256 = {
    "fillets-ng-data-cs": "3ecef99b9456f1c80c9625c6f2418642b52d58e7167a46bad7a412db17991b14",
    "fillets-ng-data-nl": "afb4443fda9ab507dee578b75be857d121718a1cd6017a474f30e0eb13dc9d10",
    TEXTS: "25de89afd8b1adf7bcace8290248a6a22c89cd42300317e69000e162c032cf84",
}
LANGUAGES = ("cs", "nl")
LICENCE = "Fish Fillets NG: GPL-2 or later, ALTAR interactive and the authors of Fish Fillets NG"
_ROOT = Path("usr/share/games/fillets-ng")
_N_BYTES = 160_000_000  # all packages and what is kept of them


def download_fillets(download_dir: Path, languages: Sequence[str], own: Sequence[Path] = ()) -> None:
    """Get the packages of some languages, and the package with the texts.

    Args:
        own: package files, or directories with them.

    Raises:
        UserError: a package cannot be had, or is not the published one.
    """
    packages = [TEXTS, *(f"{TEXTS}-{language}" for language in languages)]
    missing = [name for name in packages if not (download_dir / name / MARKER).is_file()]
    if missing:
        require_free_bytes(download_dir, _N_BYTES, f"downloading and unpacking {len(missing)} packages")
    for name in missing:
        with tempfile.TemporaryDirectory(prefix="fillets.") as temporary:
            _install(_find(name, [download_dir, *own]) or _download(name, Path(temporary), download_dir),
                     download_dir / name)
        log(f"{name}: {download_dir / name}")
    log(f"licence: {LICENCE}")


def package_file(name: str) -> str:
    """The name of a package's file."""
    return f"{name}_{VERSION}_all.deb"


def _find(name: str, places: Sequence[Path]) -> Path | None:
    for place in places:
        path = place / package_file(name) if place.is_dir() else place
        if path.is_file() and path.name == package_file(name):
            return path
    return None


def _download(name: str, directory: Path, download_dir: Path) -> Path:
    try:
        return download_packages([name], directory)[0]
    except UserError as error:
        raise UserError(f"no {package_file(name)}: {error}. Put the file into {download_dir}, or name it: "
                        "--archive FILE") from None


def _install(package: Path, directory: Path) -> None:
    """Keep the dialogues and the speech of a package as ``directory``."""
    name = directory.name
    if sha256_of(package) != SHA256[name]:
        raise UserError(f"{package}: its SHA-256 is not that of {package_file(name)}. Get that version")
    with atomic_directory(directory) as partial, tempfile.TemporaryDirectory(prefix="fillets.") as temporary:
        root = Path(temporary) / "root"
        unpack_package(package, root)
        for path in sorted((root / _ROOT).rglob("*")):
            is_speech = path.suffix == ".ogg" and "sound" in path.parts
            is_text = path.suffix == ".lua" and "dialogs" in path.name
            if (is_speech or is_text) and path.is_file() and not path.is_symlink():
                target = partial / path.relative_to(root / _ROOT)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(path.read_bytes())
        (partial / MARKER).write_text(f"{package.name}\n", encoding="utf-8")


def main() -> None:
    """Parse the options and download."""
    parser = make_parser(__doc__)
    parser.add_argument("--languages", default="", help=f"some of {' '.join(LANGUAGES)}; empty: all")
    parser.add_argument("--archive", action="append", type=Path, default=[], metavar="PATH",
                        help="a package file that you have, or a directory with them; may be repeated")
    parser.add_argument("download_dir", type=Path, help="gets a directory for each package")
    args = parser.parse_args()
    args.download_dir.mkdir(parents=True, exist_ok=True)
    download_fillets(args.download_dir, chosen_languages(args.languages, LANGUAGES), args.archive)


if __name__ == "__main__":
    run_main(main)
