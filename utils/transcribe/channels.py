"""The channels of a recording, as the two sides of a call, recognized apart and put together in time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from utils.transcribe.recognizer import Recognition


def join_channels(sides: Sequence[Recognition], named: bool) -> Recognition:
    """One recognition of all channels, segments in order of time.

    Args:
        sides: of each channel.
        named: whether the channel's number becomes the speaker of its segments.
    """
    if not named:
        return sides[0]
    segments = [replace(segment, speaker=str(number)) for number, side in enumerate(sides, 1)
                for segment in side.segments]
    segments.sort(key=lambda segment: (segment.start, segment.end))
    main = max(sides, key=lambda side: sum(segment.end - segment.start for segment in side.segments))
    return replace(main, duration=max(side.duration for side in sides), segments=segments)
