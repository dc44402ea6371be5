"""Reads feature matrices from Kaldi arks, and checks their headers first."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
from kaldiio.matio import read_matrix_or_vector

from utils.audio.constants import FULL_WINDOW
from utils.errors import UserError

_BINARY = b"\0B"  # the first bytes of every binary object of Kaldi
_HEAD_BYTES = 22  # length of the longest headers, CM2 and CM3
# By type: the format of rows and columns after the type's name, bytes for each column, and bytes for each value.
_LAYOUT = {b"FM": ("<xixi", 0, 4), b"DM": ("<xixi", 0, 8),
           b"CM": ("<8xii", 8, 1), b"CM2": ("<8xii", 0, 2), b"CM3": ("<8xii", 0, 1)}


def read_ark(source: str, num_mels: int) -> np.ndarray:
    """Return one float32 matrix (frames, num_mels) from ``file.ark:offset``; the rest of the ark is not read.

    Only binary matrices of Kaldi, plain or compressed, of at most 30 s are read. kaldiio itself would allocate any
    memory that a header asks for, and run commands or load pickles that an scp names.

    Raises:
        UserError: there is no matrix of 1 to 3000 rows and ``num_mels`` columns of finite numbers at that offset.
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
    except Exception as error:  # a damaged header can lead kaldiio to any exception
        raise UserError(f"{source}: no feature matrix there ({str(error) or 'damaged'}); run stage 2 again") from None
    return feats


def _object_size(head: bytes, num_mels: int) -> int:
    """Bytes of the matrix that begins with ``head``; a ValueError if it is not a matrix of this model's features."""
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
