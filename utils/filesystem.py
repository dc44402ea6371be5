"""Files that appear under their name only when they are complete."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from utils.errors import UserError


def free_bytes(path: Path) -> int:
    """Bytes free for us on the disk of ``path``, which need not exist yet."""
    path = path.absolute()
    return shutil.disk_usage(next(place for place in (path, *path.parents) if place.exists())).free


def require_free_bytes(path: Path, n_bytes: int, what: str) -> None:
    """Refuse to begin ``what`` when it will not fit.

    Raises:
        UserError: fewer than ``n_bytes`` are free on the disk of ``path``.
    """
    if (free := free_bytes(path)) < n_bytes:
        raise UserError(f"{path}: {what} needs {n_bytes / 1e9:.1f} GB, the disk has {free / 1e9:.1f} GB free. "
                        "Make room, or choose another disk: --download-dir")


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.partial")


@contextmanager
def atomic_open(path: str | Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Open a temporary file beside ``path`` and rename it to ``path`` when the block ends well.

    Text is UTF-8 with ``\\n`` line ends. The data reach the disk before the rename, so a reader finds
    either the old file, no file, or the whole new one. Parent directories are made.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _partial(path)
    text = {} if "b" in mode else {"encoding": "utf-8", "newline": "\n"}
    try:
        with partial.open(mode, **text) as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def atomic_directory(path: str | Path) -> Iterator[Path]:
    """Yield an empty directory beside ``path`` that takes its place when the block ends well.

    An existing ``path`` is replaced. On an exception nothing changes under ``path``.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _partial(path)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
        old = path.with_name(f".{path.name}.{os.getpid()}.old")
        if path.exists():
            path.replace(old)
        partial.replace(path)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
