"""Sources of audio, as lists have them: a file, a ``command |``, ``file.ark:offset``, or a part of such a recording.

A part is written ``recording[start:end]``, in seconds: so lists in memory say what Kaldi's ``segments`` says. A file
whose name really ends like that is a file.
"""

from __future__ import annotations

import io
import re
import subprocess
from os.path import exists
from pathlib import Path
from typing import BinaryIO

from utils.audio.ark_audio import open_in_ark, split_ark_place
from utils.errors import UserError

OVERSHOOT = 0.5  # seconds by which a part may end after its recording, as in Kaldi's extract-segments
_PART = re.compile(r"(.+)\[(\d+(?:\.\d+)?):(\d+(?:\.\d+)?)\]", re.DOTALL)


def part_source(recording: str, start: float, end: float) -> str:
    """The source of a part of a recording; times in seconds."""
    return f"{recording}[{start:.10g}:{end:.10g}]"


def split_part(source: str) -> tuple[str, float, float] | None:
    """Recording, start and end (seconds) of a part's source; None if the source is a whole file or command."""
    match = _PART.fullmatch(source)
    if match is None or exists(source):  # noqa: PTH110  # fast, and treats names that are too long as missing
        return None
    return match[1], float(match[2]), float(match[3])


def recording_of(source: str) -> str:
    """The recording that a source is a part of; the source itself if it is whole."""
    part = split_part(source)
    return part[0] if part else source


def part_seconds(source: str, start: float, end: float, recorded: float) -> float:
    """Seconds of a part that its recording has.

    Args:
        source: for the message.
        recorded: length of the recording, seconds.

    Raises:
        UserError: the part ends more than half a second after the recording, or begins there.
    """
    if end > recorded + OVERSHOOT or start >= recorded:
        raise UserError(f"{source}: is not in its recording, which has {recorded:.2f} s. Correct the times")
    return min(end, recorded) - start


def is_pipe(source: str) -> bool:
    """Whether a value of wav.scp is a command (``command |``), or a part of what one writes, and not a path."""
    return recording_of(source).endswith("|")


def open_source(source: str, allow_pipes: bool) -> BinaryIO:
    """A seekable stream of a file, or of the output of a ``command |`` if such may be run.

    Raises:
        UserError: the file is missing, empty or cannot be read, or the command is not allowed or fails.
    """
    if is_pipe(source):
        if not allow_pipes:
            raise UserError(f"{source}: is a command. Give --allow-pipes true if you trust the list and want "
                            "it run")
        return io.BytesIO(_run(source))
    path = Path(source)
    try:
        if (place := split_ark_place(source)) and Path(place[0]).is_file():
            return open_in_ark(source, *place)
        if not path.exists():
            raise UserError(f"{source}: does not exist, seen from {Path.cwd()}. Correct the path")
        if not path.is_file():  # reading a pipe or /dev/zero might never end
            raise UserError(f"{source}: cannot be read: it is a directory, a pipe or a device, not a file. "
                            "Correct the path")
        if not path.stat().st_size:
            raise UserError(f"{source}: is empty (0 bytes). Copy it again or delete its lines from the lists")
        return path.open("rb")
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"{source}: cannot be read: {reason}. Correct the path or its permissions") from None


def _run(source: str) -> bytes:
    """The output of the command of a ``command |`` entry; a UserError if any part of a pipe fails."""
    done = subprocess.run(["bash", "-o", "pipefail", "-c", source.rstrip()[:-1]], stdin=subprocess.DEVNULL,
                          capture_output=True, check=False)
    if done.returncode or not done.stdout:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no message on stderr"]
        what = f"exit status {done.returncode}" if done.returncode else "no output"
        raise UserError(f"{source}: {what}: {last[0]}. Try the command in a shell")
    return done.stdout
