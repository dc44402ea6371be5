"""Code that the download_*.py of all corpora share: their options, and downloading and unpacking archives."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from utils.cli import boolean, log
from utils.download.archives import MARKER, unpack
from utils.download.fetch import fetch
from utils.errors import UserError
from utils.filesystem import checksum_of, require_free_bytes

_SUFFIX = re.compile(r"\.(tar(\.(gz|bz2|xz))?|tgz|zip)$")
_SLACK = 2  # limit of unpacked bytes, as a multiple of Archive.unpacked_bytes, which is rounded


@dataclass(frozen=True)
class Archive:
    """An archive of a corpus.

    Attributes:
        name: path under the download directory, ``fr_fr/train.tar.gz``; users may put the file there by hand.
        remote: path under the address of each mirror.
        n_bytes: approximate size of the archive.
        unpacked_bytes: approximate size of its contents.
        checksum: MD5 or SHA-256 in hex, as published; None if there is none. Then the archive's own checksum
            shows whether it is complete.
        unpacked_as: directory for its contents; empty: its name without ``.tar.gz``.
    """

    name: str
    remote: str
    n_bytes: int
    unpacked_bytes: int
    checksum: str | None = None
    unpacked_as: str = ""

    @property
    def directory(self) -> str:
        """The directory for its contents, under the download directory."""
        return self.unpacked_as or _SUFFIX.sub("", self.name)


@dataclass(frozen=True)
class Places:
    """Sources of archives.

    Attributes:
        urls: mirrors, tried in this order.
        own: the user's archives, or directories with them; they are read in place and kept.
        remove_archives: delete downloaded archives after unpacking.
    """

    urls: Sequence[str]
    own: Sequence[Path] = ()
    remove_archives: bool = False


def add_download_options(parser: argparse.ArgumentParser, languages: str) -> None:
    """Add the options of every download_*.py; ``languages`` is the help text of ``--languages``. See ``places_of``."""
    add = parser.add_argument
    add("--languages", default="", help=languages)
    add("--url", action="append", metavar="URL", help="mirror to download from; may be repeated, tried in this order")
    add("--archive", action="append", type=Path, default=[], metavar="PATH",
        help="an archive that you have, or a directory with them; may be repeated")
    add("--remove-archives", type=boolean, default="false", metavar="true|false",
        help="delete downloaded archives after unpacking")
    add("download_dir", type=Path, help="gets a directory for each archive")


def places_of(args: argparse.Namespace, mirrors: Sequence[str]) -> Places:
    """Return the sources that options of ``add_download_options`` name; ``mirrors`` are the default of ``--url``."""
    return Places(args.url or mirrors, args.archive, args.remove_archives)


def get_archives(archives: Sequence[Archive], download_dir: Path, places: Places) -> list[Path]:
    """Download, check and unpack the archives that are not unpacked yet.

    Returns:
        The directory of each archive, ``download_dir / archive.directory``.

    Raises:
        UserError: the disk is too small, an archive is damaged or no source has it, or one of ``places.own`` is none of
            ``archives``.
    """
    directories = [download_dir / archive.directory for archive in archives]
    missing = [archive for archive, directory in zip(archives, directories, strict=True)
               if not (directory / MARKER).is_file()]
    _reject_unknown_archives(archives, places.own)
    found = {archive.name: path for archive in missing if (path := _local_copy(archive, [download_dir, *places.own]))}
    n_bytes = sum(archive.unpacked_bytes + (0 if archive.name in found else archive.n_bytes) for archive in missing)
    require_free_bytes(download_dir, n_bytes, f"downloading and unpacking {len(missing)} archives")
    for archive in missing:
        _get(archive, download_dir, places, found.get(archive.name))
    return directories


def _get(archive: Archive, download_dir: Path, places: Places, found: Path | None) -> None:
    target = download_dir / archive.name
    if found is None or found == target:  # a file there is checked, and downloaded again if it is damaged
        if found is None or archive.checksum:
            fetch([f"{url.rstrip('/')}/{archive.remote}" for url in places.urls], target, archive.checksum)
    elif archive.checksum and checksum_of(found, archive.checksum) != archive.checksum:
        raise UserError(f"{found}: its checksum is not {archive.checksum}: not the published file, or not all of it")
    unpack(found or target, download_dir / archive.directory, _SLACK * archive.unpacked_bytes)
    log(f"{archive.name}: {download_dir / archive.directory}")
    if places.remove_archives and found is None:
        target.unlink()


def _local_copy(archive: Archive, places: Iterable[Path]) -> Path | None:
    """The archive's file: the first of ``places`` that is it, or a directory that has it; None if there is none."""
    for place in places:
        path = place / archive.name if place.is_dir() else place
        if path.is_file() and f"/{path.absolute().as_posix()}".endswith(f"/{archive.name}"):
            return path
    return None


def _reject_unknown_archives(archives: Sequence[Archive], own: Sequence[Path]) -> None:
    for place in own:
        if not any(_local_copy(archive, [place]) for archive in archives):
            names = ", ".join(archive.name for archive in archives)
            raise UserError(f"--archive {place}: neither one of these archives nor a directory with one: {names}")
