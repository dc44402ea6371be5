"""Debian's packages without root: downloaded by apt-get, which checks their signatures, and unpacked by dpkg."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from utils.cli import log
from utils.errors import UserError


def download_packages(names: Sequence[str], directory: Path) -> list[Path]:
    """Download packages into ``directory``; where apt has no lists of them, these are read into a temporary directory.

    Returns:
        The package files.

    Raises:
        UserError: this is no Debian or Ubuntu system, or apt-get cannot get a package.
    """
    if not shutil.which("apt-get") or not shutil.which("dpkg"):
        raise UserError("no apt-get and dpkg: not a Debian or Ubuntu system")
    try:
        _run(["apt-get", "download", *names], directory)
    except UserError as error:
        try:
            _run(["apt-get", *_own_lists()[0], "download", *names], directory)
        except UserError:
            raise UserError(f"{error} (run apt-get update once, or check apt's sources)") from None
    return sorted(directory.glob("*.deb"))


def unpack_package(package: Path, directory: Path) -> None:
    """Unpack the files of a package below ``directory``; none of its scripts is run.

    Raises:
        UserError: there is no dpkg, or it cannot unpack the package.
    """
    if not shutil.which("dpkg"):
        raise UserError(f"{package}: dpkg is needed to unpack it; most systems have a package of that name")
    _run(["dpkg", "-x", str(package.absolute()), str(directory.absolute())], directory.parent)


@functools.cache
def _own_lists() -> tuple[list[str], tempfile.TemporaryDirectory[str]]:
    """Run ``apt-get update`` without root; return apt's options for these lists, and their temporary directory."""
    directory = tempfile.TemporaryDirectory(prefix="apt.")
    root = Path(directory.name)
    for name in ("lists/partial", "cache/archives/partial"):
        (root / name).mkdir(parents=True)
    options = ["-o", f"Dir::State::Lists={root / 'lists'}", "-o", f"Dir::Cache={root / 'cache'}",
               "-o", "APT::Sandbox::User=", "-o", "Acquire::http::Timeout=10", "-o", "Acquire::Retries=1"]
    log("apt has no lists of these packages: downloading the lists to a temporary directory")
    _run(["apt-get", *options, "update"], root)
    return options, directory


def _run(command: list[str], directory: Path) -> None:
    """Run a command in ``directory`` without output; on failure raise a UserError with its last error line."""
    result = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False,
                            env={**os.environ, "LC_ALL": "C"})
    if result.returncode != 0:
        lines = result.stderr.strip().splitlines() or [f"exit status {result.returncode}"]
        raise UserError(f"{command[0]} {command[-1]}: {lines[-1]}")
