"""Which languages are spoken in a recording, from the model's probabilities for its segments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from utils.audio.constants import FRAMES_PER_SECOND

EACH = "each"  # in place of a language: one is detected for each segment
_SURE_SECONDS = 2.0  # a shorter segment does not show its language


def likeliest_language(shares: Sequence[Mapping[str, float]], frames: Sequence[int]) -> tuple[str, float]:
    """The most probable language and its probability, averaged over segments weighted by length.

    Args:
        shares: of each segment, the probability of each language.
        frames: of each segment, in frames of 10 ms.
    """
    sums: dict[str, float] = {}
    for of_segment, length in zip(shares, frames, strict=True):
        for language, probability in of_segment.items():
            sums[language] = sums.get(language, 0.0) + probability * length / sum(frames)
    likeliest = max(sums, key=sums.__getitem__)
    return likeliest, sums[likeliest]


def languages_of(shares: Sequence[Mapping[str, float]], frames: Sequence[int]) -> list[str]:
    """The language of each segment; one under 2 s has the likeliest of those that longer segments have.

    Args: as of :func:`likeliest_language`.
    """
    longer = [length >= _SURE_SECONDS * FRAMES_PER_SECOND for length in frames]
    own = [max(of_segment, key=of_segment.__getitem__) for of_segment in shares]
    known = {language for language, sure in zip(own, longer, strict=True) if sure}
    if not known:
        known = {likeliest_language(shares, frames)[0]}
    return [language if sure else max(sorted(known), key=lambda one: of_segment.get(one, 0.0))
            for language, sure, of_segment in zip(own, longer, shares, strict=True)]
