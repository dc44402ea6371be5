"""What one encoder pass of training sees: an utterance, several joined ones, or sound in which nobody speaks.

Whisper was trained on windows of 30 s with several sentences, times and earlier text, and its runtimes use these. A
model that is tuned on single sentences alone loses them. So utterances are also joined: neighbours of a recording with
the pauses that they have there, or, without recordings, utterances of one speaker with drawn pauses.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from utils.audio.constants import FRAMES_PER_SECOND, FULL_WINDOW
from utils.config import WindowOptions
from utils.data.prompts import MAX_TEXT_TOKENS
from utils.features.feature_set import Utterance

_PAUSE = (0.2, 1.6)  # seconds between utterances that are no neighbours
_LEAD = 1.0  # the longest silence before the first utterance, seconds
_LENGTH = (4.0, 29.5)  # of a joined window that ends with an utterance, seconds
_CUT_SHARE = 0.5  # of joined windows with times: these are full, and the utterance at their end is cut
_FULL_NOISE_SHARE = 0.4  # of the noises: 30 s, as runtimes pad; the others are shorter
_LEAST_CUT = 20  # frames of a cut utterance that its window has at least
_TAIL_FRAMES = 2  # an utterance's last frames, which see its end but begin after it


@dataclass(frozen=True)
class Window:
    """What one encoder pass sees.

    Attributes:
        members: the utterances, by number, in order; none where nobody speaks.
        starts: the frame (10 ms) at which each begins.
        num_frames: length; padding comes after it.
        timed: targets have times; None: it is drawn anew in each epoch.
        is_cut: the window ends in the middle of the last utterance, of which only the start is a target.
        earlier: the window whose text may be given as earlier text, by number; None: there is none.
        noise: number of the noise, where nobody speaks.
        speed: how many times as fast it is played; ``starts`` and ``num_frames`` are those of the recorded speech.
    """

    members: tuple[int, ...]
    starts: tuple[int, ...]
    num_frames: int
    timed: bool | None = None
    is_cut: bool = False
    earlier: int | None = None
    noise: int | None = None
    speed: float = 1.0

    @property
    def is_joined(self) -> bool:
        return len(self.members) > 1


@dataclass(frozen=True)
class Chain:
    """Utterances that may stand in one window, in order.

    Attributes:
        members: by number.
        pauses: frames between each and the next one; None: to be drawn.
    """

    members: Sequence[int]
    pauses: Sequence[int] | None = None


def single_windows(utterances: Sequence[Utterance]) -> list[Window]:
    """A window for each utterance, of the same number."""
    return [Window((number,), (0,), utterance.num_frames) for number, utterance in enumerate(utterances)]


def compose(utterances: Sequence[Utterance], tokens: Sequence[int], options: WindowOptions, seed: int,
            speakers: Sequence[str], recorded: Sequence[Chain] = (), silent: Collection[int] = ()) -> list[Window]:
    """The windows of a training, the same in every epoch: all utterances alone, then joined ones, then noises.

    Args:
        utterances: of the training set.
        tokens: of each utterance's longest target; what a window has no room for is not joined.
        seed: decides what is drawn.
        speakers: of each utterance; "" if unknown.
        recorded: neighbours in recordings; utterances in none of these are joined by speaker.
        silent: utterances that are not joined: nobody speaks in them.
    """
    rng = np.random.default_rng([seed, len(utterances)])
    chains = [*recorded, *_chains_of_speakers(utterances, speakers, {
        member for chain in recorded for member in chain.members}.union(silent), rng)]
    windows = _with_earlier(single_windows(utterances), chains)
    frames = [utterance.num_frames for utterance in utterances]
    wanted = options.joined_share * sum(frames)
    for chain in _in_random_order(chains, rng):
        if wanted <= 0:
            break
        joined = _joined(chain, Lengths(frames, tokens), rng, options.timed_joined_share, wanted, len(windows))
        windows += joined
        wanted -= sum(frames[member] for window in joined for member in window.members)
    for number in range(round(options.no_speech_share * len(utterances))):
        length = FULL_WINDOW if rng.random() < _FULL_NOISE_SHARE else int(rng.integers(50, FULL_WINDOW // 3))
        windows.append(Window((), (), length, noise=number))
    return windows


def _in_random_order(chains: Sequence[Chain], rng: np.random.Generator) -> Iterator[Chain]:
    """Pieces of the chains, so that all of them have a part in what is joined."""
    pieces = []
    for chain in chains:
        size = 12
        for first in range(0, len(chain.members), size):
            pauses = chain.pauses[first:first + size] if chain.pauses is not None else None
            pieces.append(Chain(chain.members[first:first + size], pauses))
    order = rng.permutation(len(pieces))
    return (pieces[index] for index in order)


def _chains_of_speakers(utterances: Sequence[Utterance], speakers: Sequence[str], taken: set[int],
                        rng: np.random.Generator) -> list[Chain]:
    """Utterances of one speaker, language and set of tasks, in random order."""
    groups: defaultdict[tuple, list[int]] = defaultdict(list)
    for number, utterance in enumerate(utterances):
        if number not in taken:
            groups[(speakers[number], targets_of(utterance))].append(number)
    return [Chain([members[index] for index in rng.permutation(len(members))]) for members in groups.values()]


def targets_of(utterance: Utterance) -> tuple[str, ...]:
    """The languages and tasks of an utterance's targets; windows join utterances that agree in these."""
    return tuple(sorted(key.split("|", 1)[1] for key in utterance.keys))


def _with_earlier(singles: list[Window], chains: Sequence[Chain]) -> list[Window]:
    """Give each window of one utterance the one before it in its chain as earlier text."""
    for chain in chains:
        for earlier, number in pairwise(chain.members):
            singles[number] = replace(singles[number], earlier=earlier)
    return singles


class Lengths(NamedTuple):
    """The lengths of all utterances."""

    frames: Sequence[int]
    tokens: Sequence[int]


def _joined(chain: Chain, lengths: Lengths, rng: np.random.Generator, timed_share: float, wanted: float,
            first_number: int) -> list[Window]:
    """Windows of a chain's utterances, until these have ``wanted`` frames."""
    windows: list[Window] = []
    position, made = 0, 0
    while position < len(chain.members) and made < wanted:
        timed = bool(rng.random() < timed_share)
        full = timed and rng.random() < _CUT_SHARE
        room = FULL_WINDOW if full else round(rng.uniform(*_LENGTH) * FRAMES_PER_SECOND)
        lead = round(rng.uniform(0, _LEAD) * FRAMES_PER_SECOND) if rng.random() < 0.5 else 0
        start = position
        window, position = _fill(chain, position, lengths, rng, room, lead, full)
        if not window.is_joined:
            continue
        earlier = first_number + len(windows) - 1 if windows else None
        if chain.pauses is not None:  # what was really said before
            earlier = chain.members[start - 1] if start else None
        windows.append(replace(window, timed=timed, earlier=earlier))
        made += sum(lengths.frames[member] for member in window.members)
    return windows


def _fill(chain: Chain, position: int, lengths: Lengths, rng: np.random.Generator, room: int, lead: int,
          full: bool) -> tuple[Window, int]:
    """One window from ``position`` on, and the position after it; a cut utterance is the next window's first."""
    members, starts = [chain.members[position]], [lead]
    frames, tokens = lengths
    end = lead + frames[members[0]]
    tokens_left = MAX_TEXT_TOKENS - tokens[members[0]]
    position += 1
    while position < len(chain.members):
        pause = (chain.pauses[position - 1] if chain.pauses is not None
                 else round(rng.uniform(*_PAUSE) * FRAMES_PER_SECOND))
        start = end + max(0, pause)
        stop = start + frames[chain.members[position]]
        tokens_left -= tokens[chain.members[position]]
        may_cut = full and start < FULL_WINDOW - _LEAST_CUT
        if tokens_left < 0 or (stop > room and not may_cut):
            break
        members.append(chain.members[position])
        starts.append(start)
        if stop > room:
            return Window(tuple(members), tuple(starts), FULL_WINDOW, is_cut=True), position
        position += 1
        end = stop
    return Window(tuple(members), tuple(starts), min(end, FULL_WINDOW)), position


def times_of(window: Window, frames: Sequence[int]) -> list[tuple[float, float]]:
    """Start and end of each utterance in its window, as it is played, seconds."""
    played = FRAMES_PER_SECOND * window.speed
    return [(start / played, (start + max(2, frames[member] - _TAIL_FRAMES)) / played)
            for start, member in zip(window.starts, window.members, strict=True)]


def recorded_chains(utterances: Sequence[Utterance], place: Callable[[str], tuple[str, float, float]],
                    silent: Collection[int] = ()) -> list[Chain]:
    """Neighbours in recordings: chains of utterances that follow each other, do not overlap, and have the same targets.

    Args:
        place: recording, start and end (seconds) of a key.
        silent: utterances that are pauses: nobody speaks in them.
    """
    # Segments of the two tasks may differ, so utterances are neighbours of those with the same targets.
    by_recording: defaultdict[tuple, list[tuple[float, float, int]]] = defaultdict(list)
    for number, utterance in enumerate(utterances):
        if number in silent:
            continue
        recording, start, end = place(utterance.keys[0])
        by_recording[(recording, targets_of(utterance))].append((start, end, number))
    chains = []
    for places in by_recording.values():
        places.sort()
        members, pauses = [places[0][2]], list[int]()
        for (_, end, _), (start, _, number) in pairwise(places):
            if start < end:
                chains.append(Chain(members, pauses))
                members, pauses = [number], []
                continue
            pauses.append(round((start - end) * FRAMES_PER_SECOND))
            members.append(number)
        chains.append(Chain(members, pauses))
    return chains


def describe_windows(windows: Sequence[Window], utterances: Sequence[Utterance]) -> str:
    """A line for the log: what share of windows, targets and frames each kind makes."""
    counts: dict[str, Counter[str]] = {name: Counter() for name in ("windows", "targets", "frames")}
    for window in windows:
        kind = "joined" if window.is_joined else "single" if window.members else "no speech"
        targets = len(utterances[window.members[0]].keys) if window.members else 1
        for name, amount in zip(counts, (1, targets, window.num_frames), strict=True):
            counts[name][kind] += amount
    shares = [f"{kind}: " + ", ".join(f"{100 * count[kind] / max(1, count.total()):.0f} % of {name}"
                                      for name, count in counts.items()) for kind in counts["windows"]]
    return f"{len(windows)} windows; " + "; ".join(shares)

