"""The parts of corpus replicas: tar archives and short recordings, as bytes."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping

import numpy as np
import soundfile


def tar_gz(files: Mapping[str, bytes]) -> bytes:
    """A tar.gz with these files, by path."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def recording(seconds: float, frequency: float = 440.0, format: str = "WAV", rate: int = 16_000) -> bytes:
    """A tone in a format of libsndfile's: WAV, FLAC, MP3."""
    buffer = io.BytesIO()
    tone = 0.3 * np.sin(2 * np.pi * frequency * np.arange(round(rate * seconds)) / rate)
    soundfile.write(buffer, tone, rate, format=format)
    return buffer.getvalue()
