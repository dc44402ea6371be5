"""What headers of audio files promise, compared with what the files hold: missing bytes, bytes that belong to nothing.

libsndfile and FFmpeg report neither: they read what the header counts, or what there is, and say nothing of the rest.
"""

from __future__ import annotations

import io
import struct
from typing import BinaryIO

from utils.errors import UserError

TOLERATED_SECONDS = 0.05  # some encoders write headers with a smaller error, which loses no speech
_UNKNOWN_BYTES = 0x7FFF0000  # a data size in a wav's header from here on means "unknown"
_TAGS = (b"TAG", b"ID3", b"APETAGEX", b"LYRICS")  # written after the samples by programs that tag files
_SECOND_FLAC = (b"fLaC\x00\x00\x00\x22", b"fLaC\x80\x00\x00\x22")  # magic, then the block that comes first
_PRINTABLE = range(0x20, 0x7F)


def file_size(stream: BinaryIO) -> int:
    """Bytes of a seekable stream, which is rewound."""
    size = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    return size


def refuse_cut(source: str, missing: float) -> None:
    """Refuse audio of which more than a tolerated part is missing, in seconds.

    Raises:
        UserError: so it is.
    """
    if missing > TOLERATED_SECONDS:
        raise UserError(f"{source}: is cut off: its header announces {missing:.2f} s more than it holds. "
                        "Copy the file again")


def refuse_mismatch(stream: BinaryIO, source: str) -> None:
    """Refuse a file that is cut off, or has audio after what its header counts. The stream is rewound.

    wav, aiff, au and mp4 are checked; other formats have no such count, or are counted by decoding.

    Raises:
        UserError: so it is.
    """
    magic = stream.read(12)
    leftover: float = 0
    if magic[:4] == b"RIFF" and magic[8:] == b"WAVE":
        missing, leftover = _wav_mismatch(stream)
        refuse_cut(source, missing)
    elif len(magic) < 12:
        pass  # too short for a header; what reads it says so
    elif magic[:4] == b"FORM":
        leftover = file_size(stream) - 9 - struct.unpack(">I", magic[4:8])[0]  # the size may lack a byte of padding
    elif magic[:4] == b".snd":
        start, length = struct.unpack(">II", magic[4:])
        leftover = file_size(stream) - start - length if 0 < length < _UNKNOWN_BYTES else 0
    elif magic[4:8] == b"ftyp":
        leftover = _after_second_ftyp(stream)
    stream.seek(0)
    if leftover > 1:
        refuse_second(source, f"{leftover:.0f} bytes after its samples belong to nothing")


def refuse_second(source: str, what: str) -> None:
    """Refuse a file that holds more than its header counts.

    Raises:
        UserError: always.
    """
    raise UserError(f"{source}: {what}: its header counts fewer samples than it holds, or two files were joined. Write "
                    "it again from its source")


def _wav_mismatch(stream: BinaryIO) -> tuple[float, float]:
    """Seconds that the header announces beyond the end of a wav, and bytes after its samples that are no chunks."""
    size, bytes_per_second = file_size(stream), 1
    stream.seek(12)
    while len(header := stream.read(8)) == 8:
        name, length = struct.unpack("<4sI", header)
        start = stream.tell()
        if name == b"data":
            if not 0 < length < _UNKNOWN_BYTES:
                return 0, 0
            rest = _no_chunks(stream, start + length, size)
            if length % 2:  # some programs write no byte of padding
                rest = min(rest, _no_chunks(stream, start + length + 1, size))
            return (max(0, length - (size - start)) / bytes_per_second,
                    rest if rest > TOLERATED_SECONDS * bytes_per_second else 0)
        if name == b"fmt ":
            bytes_per_second = int.from_bytes(stream.read(12)[8:], "little") or 1
        stream.seek(start + length + length % 2)  # chunks begin at even offsets
    return 0, 0


def _no_chunks(stream: BinaryIO, position: int, size: int) -> int:
    """Bytes from ``position`` on that are neither chunks of a wav nor tags nor zeros."""
    while position + 8 <= size:
        stream.seek(position)
        name, length = struct.unpack("<4sI", stream.read(8))
        if name in (b"RIFF", b"data") or not all(byte in _PRINTABLE for byte in name) or position + 8 + length > size:
            break
        position += 8 + length + length % 2
    if position >= size:
        return 0
    stream.seek(position)
    rest = stream.read()
    return 0 if rest.startswith(_TAGS) or not rest.strip(b"\0") else len(rest)


def _after_second_ftyp(stream: BinaryIO) -> int:
    """Bytes from the second ``ftyp`` box of an mp4 on; 0 if there is none."""
    size, position = file_size(stream), 0
    while position + 8 <= size:
        stream.seek(position)
        length, name = struct.unpack(">I4s", stream.read(8))
        if name == b"ftyp" and position:
            return size - position
        if length == 1:  # a 64-bit length follows
            length = int.from_bytes(stream.read(8), "big")
        if length < 8:
            return 0
        position += length
    return 0


def holds_second_flac(stream: BinaryIO) -> bool:
    """Whether a flac file has the header of another one in it. All of it is read, and the stream rewound."""
    is_flac, tail, found = stream.read(4) == b"fLaC", b"", False
    while is_flac and not found and (block := stream.read(1 << 20)):
        data = tail + block
        found = any(magic in data for magic in _SECOND_FLAC)
        tail = data[-7:]
    stream.seek(0)
    return found


def is_chained_ogg(stream: BinaryIO) -> bool:
    """Whether an Ogg file has several streams one after the other (joined files). The stream is rewound.

    RFC 3533: a page has a flag for the first page of a stream.
    """
    position, begun, chained = 0, False, False
    while not chained:
        stream.seek(position)
        head = stream.read(27)
        if len(head) < 27 or head[:4] != b"OggS":
            break
        lacing = stream.read(head[26])
        first = bool(head[5] & 2)
        chained = first and begun
        begun = begun or not first
        position += 27 + len(lacing) + sum(lacing)
    stream.seek(0)
    return chained


def missing_share_of_mp3(stream: BinaryIO) -> float:
    """The share of an mp3's bytes, by its Xing or Info header, that the file lacks; 0 without one. Rewinds the stream.

    The header's count of frames is not used: programs that cut or join files leave it wrong.
    """
    size, start = file_size(stream), 0
    head = stream.read(10)
    if head[:3] == b"ID3":  # ID3v2: the length has 7 bits a byte
        start = 10 + sum((byte & 0x7F) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=False))
    stream.seek(start)
    frame = stream.read(512)
    stream.seek(0)
    place = max(frame.find(b"Xing"), frame.find(b"Info"))
    if not frame.startswith(b"\xff") or place < 0 or len(frame) < place + 16:
        return 0
    flags = int.from_bytes(frame[place + 4:place + 8], "big")
    if not flags & 2:
        return 0
    count = int.from_bytes(frame[place + 8 + 4 * (flags & 1):][:4], "big")
    return max(0, count - (size - start)) / count if count else 0
