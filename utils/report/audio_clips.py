"""Audio for report.html: embedded clips in MP3, or links to files that browsers can play."""

from __future__ import annotations

import base64
import io
import os
import urllib.parse
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from utils.audio.constants import SAMPLE_RATE
from utils.audio.loading import load_audio
from utils.audio.sources import is_pipe, split_part
from utils.cli import log, progress
from utils.errors import UserError

MP3_BITS_PER_SECOND = 32_000  # plain speech, mono, 16 kHz; every browser plays MP3
_PLAYABLE = {".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".webm", ".aac"}


def encode_mp3(samples: np.ndarray) -> bytes:
    """The bytes of an MP3 file of samples: shape (samples,), float32, mono, 16 kHz."""
    import av

    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp3") as container:
        stream = container.add_stream("mp3", rate=SAMPLE_RATE, layout="mono")
        stream.bit_rate = MP3_BITS_PER_SECOND
        integers = (np.clip(samples, -1, 1) * 32767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(integers[np.newaxis], format="s16p", layout="mono")
        frame.sample_rate = SAMPLE_RATE
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return buffer.getvalue()


def embedded(sources: Iterable[str], max_megabytes: float, allow_pipes: bool = False) -> dict[str, str]:
    """``data:`` addresses of audio by wav.scp value, in the order of ``sources`` until the limit is reached.

    Audio that cannot be read is left out and named in a log line; it is no error, since stage 1 checks the lists.
    """
    clips: dict[str, str] = {}
    room = max_megabytes * 1e6
    sources = list(dict.fromkeys(sources))
    for source in progress(sources, "embedding audio", unit="clip"):
        try:
            data = base64.b64encode(encode_mp3(load_audio(source, allow_pipes))).decode()
        except UserError as error:
            log(f"left out of the report: {error}")
            continue
        room -= len(data)
        if room < 0:
            log(f"audio of {len(clips)} of {len(sources)} files fills {max_megabytes:g} MB; the others are left out")
            break
        clips[source] = f"data:audio/mpeg;base64,{data}"
    return clips


def linked(sources: Iterable[str], directory: Path) -> dict[str, str]:
    """Addresses of files that browsers can play, relative to ``directory``, by wav.scp value."""
    playable = {source for source in sources if not (is_pipe(source) or split_part(source))
                and Path(source).suffix.lower() in _PLAYABLE}
    return {source: urllib.parse.quote(Path(os.path.relpath(source, directory)).as_posix())
            for source in sorted(playable)}


def clips(mode: str, sources: Mapping[str, str] | Iterable[str], directory: Path, max_megabytes: float,
          allow_pipes: bool = False) -> dict[str, str]:
    """Addresses of audio by wav.scp value; ``mode`` is ``embed``, ``link`` or ``none``."""
    if mode == "embed":
        return embedded(sources, max_megabytes, allow_pipes)
    return linked(sources, directory) if mode == "link" else {}
