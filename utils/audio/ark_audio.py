"""Audio inside Kaldi arks: entries ``file.ark:offset`` of wav.scp, as wav-copy, kaldiio and ESPnet write them."""

from __future__ import annotations

import io
import re
from os.path import exists
from pathlib import Path
from typing import BinaryIO

from utils.errors import UserError

_PLACE = re.compile(r"(.+):(\d+)", re.DOTALL)
_UNKNOWN = 0x7FFF0000  # sizes from here on mean "unknown" in a wav


def split_ark_place(source: str) -> tuple[str, int] | None:
    """File and offset (bytes) of ``file.ark:offset``; None for a file of that name, or another form."""
    match = _PLACE.fullmatch(source)
    if match is None or exists(source):  # noqa: PTH110  # fast, and treats names that are too long as missing
        return None
    return match[1], int(match[2])


def open_in_ark(source: str, ark: str, offset: int) -> BinaryIO:
    """A stream of the audio file at an offset of an ark.

    Only audio is read: kaldiio would also load pickles that an ark has.

    Raises:
        UserError: the ark is missing, or has no audio file there.
    """
    try:
        with Path(ark).open("rb") as stream:
            stream.seek(offset)
            head = stream.read(14)
            if head.startswith(b"AUDIO") and len(head) == 14 and head[5] <= 8:  # how many bytes of length follow
                stream.seek(offset + 6 + head[5])
                data = stream.read(int.from_bytes(head[6:6 + head[5]], "little"))
            elif head.startswith(b"RIFF"):
                length = int.from_bytes(head[4:8], "little")
                stream.seek(offset)
                data = stream.read(8 + length if 0 < length < _UNKNOWN else -1)
            else:
                raise UserError(f"{source}: no wav and no AUDIO entry at this offset of the ark. Correct the offset, "
                                "or extract the audio")
    except OSError as error:
        raise UserError(f"{source}: cannot be read: {error.strerror}. Correct the path or its permissions") from None
    return io.BytesIO(data)
