"""Atomic writes of files and directories, JSON files, checksums, free disk space."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from utils.errors import UserError

_CHUNK = 1 << 20
_ALGORITHMS = {32: "md5", 64: "sha256"}  # by the number of hex digits


def free_bytes(path: Path) -> int:
    """Return the free bytes on the disk of ``path``, which need not exist yet."""
    path = path.absolute()
    return shutil.disk_usage(next(place for place in (path, *path.parents) if place.exists())).free


def require_free_bytes(path: Path, n_bytes: int, what: str,
                       elsewhere: str = "choose another disk: --download-dir") -> None:
    """Check that the disk of ``path`` has room for ``what``, the subject of the error message.

    ``elsewhere`` is what the message advises beside making room.

    Raises:
        UserError: fewer than ``n_bytes`` are free on the disk of ``path``.
    """
    if (free := free_bytes(path)) < n_bytes:
        raise UserError(f"{path}: {what} needs {n_bytes / 1e9:.1f} GB, the disk has {free / 1e9:.1f} GB free. "
                        f"Make room, or {elsewhere}")


_LEFTOVER = re.compile(r"\..+\.(partial|old)")
_MANY_FILES = 1000  # for more files than this, one sync of all disks is faster than a sync of each file
# Write errors that the user can remedy, with the remedy.
_UNWRITABLE = {errno.ENOSPC: "Make room", errno.EDQUOT: "Make room, or ask for a higher quota",
               errno.EFBIG: "The largest file allowed here is too small: see ulimit -f",
               errno.EROFS: "Make it writable, or work in another directory",
               errno.EACCES: "Give yourself permission, or work in another directory",
               errno.EPERM: "Give yourself permission, or work in another directory",
               errno.EIO: "The disk is failing, or the network to it: look at the system's log"}


def disk_fault(error: BaseException | None) -> str | None:
    """Return a one-line message if ``error`` says that a disk cannot be written to, else None.

    Libraries wrap the system's error, so the causes and the texts of messages are searched, too.
    """
    while error is not None:
        if isinstance(error, OSError) and error.errno in _UNWRITABLE:
            where = f"{error.filename}: " if error.filename is not None else ""
            return f"{where}{error.strerror}. {_UNWRITABLE[error.errno]}, then give the same command again"
        for number in (errno.ENOSPC, errno.EROFS, errno.EDQUOT):
            if f"{os.strerror(number)} (os error {number})" in str(error):  # how Rust says it: safetensors, tokenizers
                return f"{os.strerror(number)}. {_UNWRITABLE[number]}, then give the same command again"
        if "PytorchStreamWriter failed writing" in str(error):  # PyTorch does not say why
            return "a checkpoint cannot be written: is the disk full? Make room, then give the same command again"
        error = error.__cause__ or error.__context__
    return None


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.partial")


def remove_leftovers(directories: Iterable[Path]) -> None:
    """Remove temporary files of the functions below that were killed. No other process may write there meanwhile."""
    for directory in directories:
        for path in directory.iterdir():
            if _LEFTOVER.fullmatch(path.name):
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)


def sync_directory(directory: Path) -> None:
    """Flush all files under ``directory`` to the disk, so that a power cut after a rename cannot leave them empty."""
    paths = [path for path in directory.rglob("*") if path.is_file() and not path.is_symlink()]
    if len(paths) > _MANY_FILES:
        os.sync()
        return
    for path in [*paths, directory]:
        _sync(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):  # some network disks do not support fsync
            raise
    finally:
        os.close(descriptor)


def _share(directory: Path) -> None:
    """Give files that a library made private (safetensors: mode 600) the mode of other new files: others read them."""
    umask = os.umask(0)
    os.umask(umask)
    for path in directory.rglob("*"):
        status = path.lstat()
        if path.is_file() and not path.is_symlink() and status.st_nlink == 1:  # links belong to somebody else, too
            path.chmod(status.st_mode | (0o666 & ~umask))


@contextmanager
def atomic_open(path: str | Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Open a temporary file beside ``path`` and rename it to ``path`` when the block ends without an error.

    Text is UTF-8 with ``\\n`` line ends. The data are flushed to the disk before the rename, so a reader finds
    the old file, no file, or the complete new one. Parent directories are created.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _partial(path)
    encoding, newline = (None, None) if "b" in mode else ("utf-8", "\n")
    try:
        with partial.open(mode, encoding=encoding, newline=newline) as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
        _sync(path.parent)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def atomic_directory(path: str | Path) -> Iterator[Path]:
    """Yield an empty directory beside ``path`` and rename it to ``path`` when the block ends without an error.

    An existing ``path`` is replaced. On an exception ``path`` stays unchanged.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _partial(path)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
        _share(partial)
        sync_directory(partial)
        old = path.with_name(f".{path.name}.{os.getpid()}.old")
        if path.exists():
            path.replace(old)
        partial.replace(path)
        _sync(path.parent)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def atomic_files(directory: str | Path) -> Iterator[Path]:
    """Yield an empty directory and move its files into ``directory`` when the block ends without an error.

    For libraries that save several files at once. Other files in ``directory`` stay. On an exception nothing changes.
    """
    directory = Path(directory)
    partial = _partial(directory / "files")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        _share(partial)
        sync_directory(partial)
        for path in sorted(partial.iterdir()):
            path.replace(directory / path.name)
        _sync(directory)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def read_json(path: Path, remedy: str) -> Any:
    """Return the contents of a JSON file.

    Raises:
        UserError: the file cannot be read or is not JSON; the message ends with ``remedy``.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}. {remedy}") from None
    except ValueError as error:
        raise UserError(f"{path}: not JSON: {error}. {remedy}") from None


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` to ``path`` as indented JSON, atomically."""
    with atomic_open(path) as stream:
        stream.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    return checksum_of(path, "0" * 64)


def checksum_of(path: Path, like: str) -> str:
    """Return the checksum of a file in hex, of the same kind as ``like``: SHA-256 (64 digits) or MD5 (32 digits).

    Raises:
        ValueError: ``like`` has another length.
    """
    if len(like) not in _ALGORITHMS:
        raise ValueError(f"neither SHA-256 nor MD5: {like!r}")
    digest = hashlib.new(_ALGORITHMS[len(like)], usedforsecurity=False)
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
