"""More of what is scarce: languages and tasks drawn with a temperature, as in multilingual training.

The share of a group of n utterances becomes n^(1/T) instead of n (Arivazhagan et al. 2019, arXiv:1907.05019, section
4.1). Here the largest group stays as it is, and windows of the others are repeated, so nothing is left out.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

import numpy as np

from utils.data.lists import parse_key
from utils.features.feature_set import Utterance
from utils.train.windows import Window, targets_of


def repeated_windows(windows: Sequence[Window], utterances: Sequence[Utterance], temperature: float,
                     rng: np.random.Generator) -> list[Window]:
    """The windows to train once more, those of scarce languages and tasks several times.

    Args:
        windows: of the training; noises are in no group.
        temperature: T; 1: nothing is repeated.
    """
    groups: defaultdict[tuple[str, ...], list[Window]] = defaultdict(list)
    for window in windows:
        if window.members:
            groups[targets_of(utterances[window.members[0]])].append(window)
    most = max(map(len, groups.values()), default=0)
    found: list[Window] = []
    for members in groups.values():
        times = (most / len(members)) ** (1 - 1 / temperature) - 1
        found += members * int(times)
        found += [members[number] for number in rng.permutation(len(members))[:round(times % 1 * len(members))]]
    return found


def describe_balance(windows: Sequence[Window], utterances: Sequence[Utterance],
                     num_tokens: Callable[[str], int]) -> str:
    """A line for the log: how many targets and tokens an epoch has of each language and task.

    Args:
        num_tokens: of the text of a key.
    """
    targets, tokens = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for window in windows:
        for key in (key for member in window.members for key in utterances[member].keys):
            parsed = parse_key(key)
            targets[parsed.language, parsed.task] += 1
            tokens[parsed.language, parsed.task] += num_tokens(key)
    total = max(1, tokens.total())
    return "an epoch: " + ", ".join(
        f"{language} {task} {targets[language, task]} targets, {count} tokens ({100 * count / total:.0f} %)"
        for (language, task), count in sorted(tokens.items()))
