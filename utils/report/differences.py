"""Differences between references and hypotheses, marked in the texts as written, counted as the error rate does."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import cache
from itertools import groupby
from typing import NamedTuple

from utils.score.alignment import Alignment, align
from utils.score.normalization import Normalizer
from utils.score.text_units import Splitter, split_keeping_space, split_mixed

_LONGEST_STRETCH = 20  # words that are normalised as one, such as a number or the text in a pair of brackets


class MarkedSpan(NamedTuple):
    """A stretch of text: ``same``, ``sub`` (another word stands in the reference), ``ins``, ``del`` (is missing)."""

    kind: str
    text: str


class Stretch(NamedTuple):
    """The shortest part of a text that can be normalised for itself: ``twenty one``, with its unit ``21``."""

    text: str  # as written, with the space and the punctuation after it
    units: list[str]  # words or characters of the normalised text


def mark_differences(references: Sequence[str], hypotheses: Sequence[str],
                     normalizers: Sequence[Normalizer]) -> list[list[MarkedSpan]]:
    """The differences of normalised texts, shown in the texts as they were before.

    Args:
        references: one per utterance.
        hypotheses: one per utterance.
        normalizers: one per utterance, that of its score: what it makes equal is not marked.

    Returns:
        The spans of each utterance. All but the ``del`` spans together are the hypothesis; ``del`` spans are words
        of the reference.
    """
    splitters = {normalize: _unit_splitter(normalize) for normalize in normalizers}
    sides = [[split_stretches(text, splitters[normalize]) for text, normalize in zip(texts, normalizers, strict=True)]
             for texts in (references, hypotheses)]
    aligned = align(*([[unit for stretch in stretches for unit in stretch.units] for stretches in side]
                      for side in sides))
    marked = []
    for reference, hypothesis, alignment in zip(*sides, aligned, strict=True):
        spans = _spans(reference, hypothesis, alignment)
        marked.append([MarkedSpan(kind, "".join(span.text for span in group))
                       for kind, group in groupby(spans, key=lambda span: span.kind)])
    return marked


def _unit_splitter(normalize: Normalizer) -> Splitter:
    """A function from a text to the words or characters of its normalised form, which remembers its results."""
    return cache(lambda text: split_mixed(normalize(text)))


def split_stretches(text: str, units_of: Callable[[str], list[str]]) -> list[Stretch]:
    """A text in stretches whose units together are the units of the whole text.

    Normalisers change more than single words: Whisper's makes ``21`` of ``twenty one`` and drops what stands in
    brackets. So words are joined until the units of each stretch are found at their place in the whole text's. Where
    no such stretches exist, the whole text is one.
    """
    tokens, units = split_keeping_space(text), units_of(text)
    came_from: dict[tuple[int, int], tuple[int, int]] = {}  # place (tokens, units) -> the place before its stretch
    tries = [(0, 0, 1)] if tokens else []  # tokens and units before a stretch, and the token where it ends
    while tries and (len(tokens), len(units)) not in came_from:
        first, n_units, end = tries.pop()
        if end < min(len(tokens), first + _LONGEST_STRETCH):
            tries.append((first, n_units, end + 1))  # a longer stretch, if this one leads nowhere
        found = units_of("".join(tokens[first:end]))
        place = end, n_units + len(found)
        if found == units[n_units:place[1]] and place not in came_from:
            came_from[place] = first, n_units
            if end < len(tokens):
                tries.append((*place, end + 1))
    place, stretches = (len(tokens), len(units)), []
    if tokens and place not in came_from:
        return [Stretch(text, units)]
    while place != (0, 0):
        before = came_from[place]
        stretches.append(Stretch("".join(tokens[before[0]:place[0]]), units[before[1]:place[1]]))
        place = before
    return _join_empty(stretches[::-1])


def _join_empty(stretches: Sequence[Stretch]) -> list[Stretch]:
    """Stretches without units, such as punctuation, joined to the one before; the first to the one after."""
    joined: list[Stretch] = []
    for stretch in stretches:
        if joined and not (stretch.units and joined[-1].units):
            last = joined.pop()
            stretch = Stretch(last.text + stretch.text, last.units + stretch.units)
        joined.append(stretch)
    return joined


def _spans(reference: Sequence[Stretch], hypothesis: Sequence[Stretch], alignment: Alignment) -> list[MarkedSpan]:
    """One span for each stretch of the hypothesis and for each stretch of the reference that it lacks."""
    kind_of = ["same"] * len(alignment.hypothesis)
    missing_before: dict[int, int] = {}  # unit of the reference -> unit of the hypothesis that stands at its place
    for chunk in alignment.chunks:
        if chunk.type in ("substitute", "insert"):
            length = chunk.hyp_end_idx - chunk.hyp_start_idx
            kind_of[chunk.hyp_start_idx:chunk.hyp_end_idx] = [chunk.type[:3]] * length
        if chunk.type in ("substitute", "delete"):
            missing_before |= dict.fromkeys(range(chunk.ref_start_idx, chunk.ref_end_idx), chunk.hyp_start_idx)
    missing: defaultdict[int, list[MarkedSpan]] = defaultdict(list)
    first = 0
    for stretch in reference:
        places = [missing_before[unit] for unit in range(first, first + len(stretch.units)) if unit in missing_before]
        if places:
            missing[places[0]].append(MarkedSpan("del", stretch.text))
        first += len(stretch.units)
    spans: list[MarkedSpan] = []
    first = 0
    for stretch in hypothesis:
        units = range(first, first + len(stretch.units))
        spans += [span for unit in units for span in missing.pop(unit, [])]
        kinds = {kind_of[unit] for unit in units} or {"same"}
        spans.append(MarkedSpan(kinds.pop() if len(kinds) == 1 else "sub", stretch.text))
        first += len(stretch.units)
    return spans + [span for place in sorted(missing) for span in missing[place]]
