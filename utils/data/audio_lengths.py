"""Lengths of many sources of audio. Each file or recording is opened once, whatever the number of its parts."""

from __future__ import annotations

from collections.abc import Iterable
from multiprocessing.pool import ThreadPool

from utils.audio.loading import audio_seconds
from utils.audio.sources import part_seconds, recording_of, split_part
from utils.cli import progress
from utils.errors import UserError


def seconds_of_sources(sources: Iterable[str], nj: int, allow_pipes: bool = False) -> dict[str, float | UserError]:
    """Seconds of each source, in its order, or what is wrong with it.

    Args:
        nj: number of files that are opened at once.
        allow_pipes: whether ``command |`` may be run.
    """
    def probe(recording: str) -> float | UserError:
        try:
            return audio_seconds(recording, allow_pipes)
        except UserError as error:
            return error

    def judge(source: str) -> float | UserError:
        part, whole = split_part(source), probed[recording_of(source)]
        if part is None or isinstance(whole, UserError):
            return whole
        try:
            return part_seconds(source, *part[1:], whole)
        except UserError as error:
            return error

    sources = list(dict.fromkeys(sources))
    recordings = list(dict.fromkeys(map(recording_of, sources)))
    with ThreadPool(nj) as pool:
        results = pool.imap(probe, recordings, chunksize=16)
        probed = dict(zip(recordings, progress(results, "audio headers", len(recordings), "file"), strict=True))
    return {source: judge(source) for source in sources}
