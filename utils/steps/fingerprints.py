"""Fingerprints of files, directories, the files that a list names, and scripts. Standard library only."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from utils import ROOT

ABSENT = "absent"
_SMALL_BYTES = 64 << 20  # a larger file is identified by size and time, because reading it would take too long
_IMPORT = re.compile(rb"^[ \t]*(?:from|import)[ \t]+([\w.]+)(?:[ \t]+import[ \t]+\(?([\w, \t]+))?", re.MULTILINE)


def of_path(path: Path) -> str:
    """Fingerprint of a file: SHA-256, or size and time if large. Of a directory: names, sizes, times of its files."""
    try:
        if path.is_dir():
            return _of_directory(path)
        stat = path.stat()
        if stat.st_size > _SMALL_BYTES:
            return f"{stat.st_size} bytes of {stat.st_mtime_ns}"
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except (FileNotFoundError, NotADirectoryError):
        return ABSENT


def _of_directory(path: Path) -> str:
    lines = []
    for folder, folders, names in os.walk(path.resolve()):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if name.startswith(".") and name.endswith((".partial", ".old")):
                continue
            stat = os.stat(os.path.join(folder, name), follow_symlinks=False)  # noqa: PTH116, PTH118 (millions of files)
            lines.append(f"{os.path.relpath(folder, path.resolve())}/{name} {stat.st_size} {stat.st_mtime_ns}")
    return _digest(lines)


def of_section(path: Path, section: str) -> str:
    """Fingerprint of a top-level section of a YAML file; of the whole file if it has no such section."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return ABSENT
    found = re.search(rf"^{re.escape(section)}:.*\n(?:(?:[ \t#].*)?\n)*", text + "\n", re.MULTILINE)
    return hashlib.sha256((found[0] if found else text).encode()).hexdigest()


def of_named_files(scp: Path) -> str:
    """Fingerprint of names, sizes and times of the files in a wav.scp (either form of its lines) or a feats.scp."""
    try:
        lines = scp.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    except OSError:
        return ABSENT
    names = {_file_name(line) for line in lines}
    return _digest(f"{name} {_size_and_time(Path(name), scp.parent)}" for name in names)


def _file_name(line: str) -> str:
    """The value after ``id|language|task`` or ``id | language | task ->``, without the offset in an ark."""
    value = re.sub(r"^\s*\S+?\s*(?:->\s*|\s|$)", "", line.split("|", 2)[-1])
    return re.sub(r":\d+$", "", value.strip())


def _size_and_time(path: Path, beside: Path) -> str:
    for place in (path, beside / path):
        try:
            stat = place.stat()
            return f"{stat.st_size} {stat.st_mtime_ns}"
        except (OSError, ValueError):
            continue
    return ABSENT  # a command, or a missing file, which the step itself reports


def _digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(sorted(lines)).encode("utf-8", "surrogateescape")).hexdigest()


def of_code(scripts: Iterable[Path]) -> dict[str, str]:
    """Return SHA-256 by path of the scripts, all modules of this repository that they import, and requirements.txt.

    An import runs the ``__init__.py`` of each parent package, so these are included.
    """
    waiting = [ROOT / "tools/requirements.txt", *(path.resolve() for path in scripts)]
    found: dict[str, str] = {}
    while waiting:
        path = waiting.pop()
        name = short(str(path))
        if name not in found and path.is_file():
            source = path.read_bytes()
            found[name] = hashlib.sha256(source).hexdigest()
            if path.suffix == ".py":
                waiting += _imported(source, path.parent)
    return dict(sorted(found.items()))


def _imported(source: bytes, directory: Path) -> Iterator[Path]:
    for module, names in _IMPORT.findall(source):
        parts = module.decode().split(".")
        for place in {ROOT, directory}:
            base = place.joinpath(*parts)
            yield from (place.joinpath(*parts[:depth], "__init__.py") for depth in range(1, len(parts) + 1))
            yield base.with_suffix(".py")
            yield from (base / f"{name.strip()}.py" for name in names.decode().split(",") if base.is_dir())


def short(word: str) -> str:
    """Return ``word`` without the path of this repository, which may be moved."""
    return word.replace(f"{ROOT}/", "")
