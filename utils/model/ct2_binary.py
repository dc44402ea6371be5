"""Reads the binary format of CTranslate2's ``model.bin``, which ``ctranslate2.specs.ModelSpec`` writes."""

from __future__ import annotations

import math
import os
import struct
from pathlib import Path
from typing import IO, NoReturn

import torch

from utils.errors import UserError

BINARY_VERSION = 6
MAX_VARIABLES = 10_000  # large-v3 has about 1,000
MAX_RANK = 4
DTYPES = {0: torch.float32, 1: torch.int8, 2: torch.int16, 3: torch.int32, 4: torch.float16,
          5: torch.bfloat16}


def read_ct2_variables(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a CTranslate2 ``model.bin`` by name, in their stored types.

    Every size is compared with its limit and with the rest of the file before memory is allocated.

    Raises:
        UserError: the file is not a Whisper model, of another binary version, damaged or cut off.
    """
    with path.open("rb") as stream:
        reader = _Reader(stream, path)
        variables = dict(reader.variable() for _ in range(reader.head()))
        for _ in range(min(reader.unpack("I"), MAX_VARIABLES)):
            alias, name = reader.string(), reader.string()
            if name not in variables:
                reader.damaged(f"{alias} stands for {name!r}, which is not there")
    return variables


def read_ct2_shapes(path: Path) -> dict[str, list[int]]:
    """Return shapes of the tensors of a ``model.bin`` by name, without their data; errors as in read_ct2_variables."""
    with path.open("rb") as stream:
        reader = _Reader(stream, path)
        return dict(reader.shape_only() for _ in range(reader.head()))


class _Reader:
    """Reads the elements of the format: little-endian numbers, strings, tensors."""

    def __init__(self, stream: IO[bytes], path: Path) -> None:
        self.stream, self.path = stream, path
        self.left = path.stat().st_size

    def damaged(self, what: str) -> NoReturn:
        raise UserError(f"{self.path}: damaged or cut off at byte {self.stream.tell()}: {what}")

    def read(self, size: int) -> bytearray:
        if size > self.left:
            self.damaged(f"{size} bytes announced, {self.left} left")
        self.left -= size
        return bytearray(self.stream.read(size))

    def unpack(self, code: str) -> int:
        return struct.unpack(f"<{code}", self.read(struct.calcsize(f"<{code}")))[0]

    def string(self) -> str:
        try:
            return self.read(self.unpack("H")).rstrip(b"\0").decode("ascii")
        except UnicodeDecodeError:
            self.damaged("a name that is not ASCII")

    def head(self) -> int:
        """Read the part before the tensors and return their number."""
        version = self.unpack("I")
        if version != BINARY_VERSION:
            raise UserError(f"{self.path}: not a CTranslate2 model of binary version {BINARY_VERSION} "
                            f"(it says {version})")
        spec, _revision, count = self.string(), self.unpack("I"), self.unpack("I")
        if spec != "WhisperSpec":
            raise UserError(f"{self.path}: holds a {spec}, not a Whisper model")
        if count > MAX_VARIABLES:
            self.damaged(f"{count} variables")
        return count

    def shape_only(self) -> tuple[str, list[int]]:
        """Read a tensor's name and shape, and skip its data."""
        name, rank = self.string(), self.unpack("B")
        shape = [self.unpack("I") for _ in range(rank)]
        self.unpack("B")
        size = self.unpack("I")
        if size > self.left:
            self.damaged(f"{size} bytes announced, {self.left} left")
        self.left -= size
        self.stream.seek(size, os.SEEK_CUR)
        return name, shape

    def variable(self) -> tuple[str, torch.Tensor]:
        name, rank = self.string(), self.unpack("B")
        if rank > MAX_RANK:
            self.damaged(f"{name} with {rank} dimensions")
        shape = [self.unpack("I") for _ in range(rank)]
        code, size = self.unpack("B"), self.unpack("I")
        dtype = DTYPES.get(code)
        if dtype is None or math.prod(shape) * dtype.itemsize != size or size == 0:
            self.damaged(f"{name} of shape {shape}, type {code} and {size} bytes")
        return name, torch.frombuffer(self.read(size), dtype=dtype).reshape(shape)
