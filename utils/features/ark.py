"""Feature matrices from Kaldi arks, of which nothing is believed that was not checked."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
from kaldiio.matio import read_matrix_or_vector

from utils.audio.constants import FULL_WINDOW
from utils.errors import UserError

_BINARY = b"\0B"  # what every binary object of Kaldi's begins with
_HEAD_BYTES = 22  # of the longest header, CM2's and CM3's
# By type: where rows and columns stand after the type's name, and bytes for each column and each value behind them.
_LAYOUT = {b"FM": ("<xixi", 0, 4), b"DM": ("<xixi", 0, 8),
           b"CM": ("<8xii", 8, 1), b"CM2": ("<8xii", 0, 2), b"CM3": ("<8xii", 0, 1)}


def read_ark(source: str, num_mels: int) -> np.ndarray:
    """One (frames, num_mels) float32 matrix from ``file.ark:offset``; the rest of the ark is not read.

    Only Kaldi's binary matrices, plain or compressed, and only as much as 30 s of features can be: kaldiio itself
    would take any memory that a header asks for, run a command or load a pickle that an scp names.

    Raises:
        UserError: there is no matrix with ``num_mels`` columns and 1 to 3000 rows of numbers at that place.
    """
    path, _, offset = source.rpartition(":")
    try:
        if not Path(path).is_file():
            raise ValueError("No such file")
        with Path(path).open("rb") as stream:
            stream.seek(int(offset))
            size = _object_size(stream.read(_HEAD_BYTES), num_mels)
            stream.seek(int(offset))
            feats = np.asarray(read_matrix_or_vector(io.BytesIO(stream.read(size))), dtype=np.float32)
        if not np.isfinite(feats).all():
            raise ValueError("it has NaN or infinite values")
    except Exception as error:  # kaldiio raises whatever a broken header leads to
        raise UserError(f"{source}: no feature matrix there ({str(error) or 'damaged'}); run stage 2 again") from None
    return feats


def _object_size(head: bytes, num_mels: int) -> int:
    """Bytes of the matrix that begins with ``head``, or a ValueError if it cannot be one of ours."""
    if not head.startswith(_BINARY):
        raise ValueError("not Kaldi's binary form")
    kind, space, sizes = head[len(_BINARY):].partition(b" ")
    if kind not in _LAYOUT:
        raise ValueError(f"of type {kind[:5].decode('ascii', 'replace')!r}, not a matrix")
    place, of_column, of_value = _LAYOUT[kind]
    rows, columns = struct.unpack_from(place, sizes)
    if columns != num_mels or not 0 < rows <= FULL_WINDOW:
        raise ValueError(f"its shape is {(rows, columns)}, the model takes (1 to {FULL_WINDOW} frames, {num_mels})")
    return len(_BINARY + kind + space) + struct.calcsize(place) + columns * of_column + rows * columns * of_value
