"""Files inside tar archives, found by name and read when they are needed; nothing is unpacked to disk."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from utils.errors import UserError


@dataclass(frozen=True)
class TarMember:
    """A file inside a tar archive that is not compressed."""

    archive: Path
    name: str
    offset: int
    size: int

    def read(self) -> bytes:
        """Its bytes."""
        with self.archive.open("rb") as stream:
            stream.seek(self.offset)
            return stream.read(self.size)


def tar_members(archive: Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Yield name and reader of each file in a tar archive, in its order.

    Raises:
        UserError: the archive is missing, damaged or compressed.
    """
    try:
        with tarfile.open(archive, "r:") as tar:
            for member in tar:
                if member.isfile():
                    yield member.name, TarMember(archive, member.name, member.offset_data, member.size).read
    except (OSError, tarfile.TarError) as error:
        raise UserError(f"{archive}: no tar archive that can be read: {error}. Unpack it if it is compressed") from None
