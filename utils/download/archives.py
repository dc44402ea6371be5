"""Unpacks archives that are not trusted: links, devices, paths outside the directory and huge contents are refused."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any

from tqdm import tqdm

from utils.errors import UserError
from utils.filesystem import atomic_directory, free_bytes

MARKER = ".complete"
MAX_MEMBERS = 4_000_000  # a language of Common Voice has up to 2 million clips
_SPARE_BYTES = 1 << 30  # left free for other programs on the same disk
_CHUNK = 1 << 20
_MAX_XZ_MEMORY = 1 << 28  # unpacking xz -9 needs 65 MB; a header may ask for 4 GB
_MAX_HEADER = 1 << 20  # bytes of a long name or pax header, which tarfile reads into memory
_MAX_PADDING = 1 << 26  # bytes of zeros after a tar's end; GNU tar writes 10 kB
_DAMAGE = (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError, zlib.error, lzma.LZMAError, RuntimeError,
           ValueError, struct.error, OverflowError)


def unpack(archive: Path, directory: Path, max_bytes: int | None = None, max_members: int = MAX_MEMBERS) -> Path:
    """Unpack a tar or zip archive as ``directory``, atomically; the file ``MARKER`` in it is written last.

    A directory with the marker is not unpacked again. One without the marker is incomplete, and is replaced.
    Arguments and errors are those of :func:`safe_extract`.

    Returns:
        ``directory``.
    """
    if not (directory / MARKER).is_file():
        with atomic_directory(directory) as partial:
            safe_extract(archive, partial, max_bytes, max_members)
            (partial / MARKER).write_text(f"{archive.name}\n", encoding="utf-8")
    return directory


def safe_extract(archive: Path, directory: Path, max_bytes: int | None = None,
                 max_members: int = MAX_MEMBERS) -> None:
    """Unpack the files and directories of a tar (plain, gz, bz2, xz) or zip archive into ``directory``.

    Owners and modes of members are ignored. An invalid member stops the unpacking, so unpack into a directory that
    can be deleted, as :func:`unpack` does.

    Args:
        max_bytes: limit of all unpacked files; the free space of the disk, less a reserve, is another limit.
        max_members: limit of files and directories in the archive.

    Raises:
        UserError: the archive is missing, damaged, cut off or too large, or a member is a link, a device, or lies
            outside ``directory``.
    """
    room = max(0, free_bytes(directory) - _SPARE_BYTES)
    max_bytes = room if max_bytes is None else min(max_bytes, room)
    try:
        with archive.open("rb") as stream:
            if zipfile.is_zipfile(stream):
                _extract_zip(archive, stream, directory, max_bytes, max_members)
            else:
                _extract_tar(archive, directory, max_bytes, max_members)
    except FileNotFoundError:
        raise UserError(f"{archive} is missing") from None
    except _DAMAGE as error:
        reason = str(error) or type(error).__name__
        raise UserError(f"{archive}: cannot be unpacked: {reason}; delete it and run again") from None


class _BoundedHeader(tarfile.TarInfo):
    """A member of a tar; a long name or pax header that would fill the memory is refused."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _BoundedHeader:
        member = super().frombuf(buf, encoding, errors)
        if member.size > _MAX_HEADER and not (member.isfile() or member.isdir()):
            raise tarfile.ReadError(f"a header of {member.size} bytes")
        return member


class _BoundedXz(io.RawIOBase):
    """The decompressed bytes of an xz file, as of ``lzma.open``, but with a limit of memory."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self._decompressor: lzma.LZMADecompressor | None = None

    def readable(self) -> bool:
        """True: only reading is supported."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Read at most ``len(buffer)`` bytes and return their number; 0 at the end."""
        data = b""
        while not data:
            read = b""
            if self._decompressor is None or self._decompressor.eof:  # the first stream, or the next one
                read = (self._decompressor.unused_data if self._decompressor else b"").lstrip(b"\0")
                read = read or self._source.read(_CHUNK).lstrip(b"\0")  # padding between streams
                if not read:
                    return 0
                self._decompressor = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MAX_XZ_MEMORY)
            elif self._decompressor.needs_input:
                read = self._source.read(_CHUNK)
                if not read:
                    raise EOFError("it ends in the middle")
            data = self._decompressor.decompress(read, len(buffer))
        buffer[:len(data)] = data
        return len(data)


def _open_xz(source: IO[bytes]) -> IO[bytes]:
    return io.BufferedReader(_BoundedXz(source), _CHUNK)


_OPENERS: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": _open_xz}


def _extract_tar(archive: Path, directory: Path, max_bytes: int, max_members: int) -> None:
    """Unpack a tar in one pass, because a second pass would decompress it again."""
    n_bytes = 0
    with _decompressed(archive) as stream:
        with tarfile.open(fileobj=stream, mode="r|", tarinfo=_BoundedHeader) as opened:
            for number, member in enumerate(opened, start=1):
                n_bytes += member.size if member.isfile() else 0
                _check_size(archive, n_bytes, max_bytes, number, max_members)
                _check_member(archive, member.name, member.isfile() or member.isdir())
                if hasattr(tarfile, "data_filter"):  # Python's own check, in newer versions
                    tarfile.data_filter(member, str(directory))
                _write_tar_member(opened, member, directory)
        n_padding = 0
        while rest := stream.read(_CHUNK):  # tarfile stops at a damaged header; the checksum comes last
            n_padding += len(rest)
            if rest.strip(b"\0") or n_padding > _MAX_PADDING:
                raise tarfile.ReadError("data after its end, or a damaged header")


@contextmanager
def _decompressed(archive: Path) -> Iterator[IO[bytes]]:
    """Yield the decompressed bytes of a tar; a progress bar shows how much of the archive is read."""
    with archive.open("rb") as raw:
        magic = raw.read(6)
        raw.seek(0)
        with tqdm.wrapattr(raw, "read", total=archive.stat().st_size, desc=f"unpack {archive.name}",
                           unit="B", unit_scale=True, mininterval=1.0, leave=False) as counted:
            for start, opener in _OPENERS.items():
                if magic.startswith(start):
                    with opener(counted) as stream:
                        yield stream
                    return
            yield counted  # type: ignore[misc]  # tqdm's type hints name only read()


def _extract_zip(archive: Path, stream: IO[bytes], directory: Path, max_bytes: int, max_members: int) -> None:
    with zipfile.ZipFile(stream) as opened:
        members = opened.infolist()
        # zipfile reads no more of a member than the size in its entry, so these sizes are reliable.
        _check_size(archive, sum(info.file_size for info in members), max_bytes, len(members), max_members)
        for info in members:
            kind = stat.S_IFMT(info.external_attr >> 16)
            _check_member(archive, info.filename, kind in (0, stat.S_IFREG, stat.S_IFDIR))
        for info in tqdm(members, desc=f"unpack {archive.name}", unit="file", mininterval=1.0, leave=False):
            opened.extract(info, directory)


def _check_size(archive: Path, n_bytes: int, max_bytes: int, n_members: int, max_members: int) -> None:
    if n_bytes > max_bytes or n_members > max_members:
        raise UserError(f"{archive}: not unpacked: more than {max_bytes} bytes or {max_members} files")


def _check_member(archive: Path, name: str, plain: bool) -> None:
    path = PurePosixPath(name.replace("\\", "/"))
    if not plain or path.is_absolute() or ".." in path.parts:
        raise UserError(f"{archive}: not unpacked: its member {name!r} is a link, a device or lies "
                        "outside the archive")


def _write_tar_member(opened: tarfile.TarFile, member: tarfile.TarInfo, directory: Path) -> None:
    path = directory / member.name
    if member.isdir():
        path.mkdir(parents=True, exist_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    source = opened.extractfile(member)
    assert source is not None  # only regular files get here
    with source, path.open("wb") as stream:
        shutil.copyfileobj(source, stream, _CHUNK)
