"""The result of an experiment in a few sentences for readers who look at nothing else."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from utils.data.languages import language_name
from utils.score.comparison import Comparison

_TASKS = {"wer": "transcribing", "cer": "transcribing", "mer": "transcribing", "bleu": "translating"}


def headline(comparisons: Sequence[Comparison], forget_sets: Collection[str] = ()) -> list[str]:
    """What got clearly better or worse, by tuning, by exporting, and on other speech.

    Args:
        comparisons: of all sets, corrected for each other.
        forget_sets: sets that the model was not tuned for.
    """
    own = [one for one in comparisons if one.system["set"] not in forget_sets and one.system["metric"] in _TASKS]
    tuned = [one for one in own if one.baseline["system"] == "base"]
    exported = [one for one in own if one.baseline["system"] != "base"]
    others = [one for one in comparisons if one.system["set"] in forget_sets and one.system["metric"] in _TASKS]
    return [sentence for sentence in (_tuned(tuned), *_exports(exported), _forgotten(others)) if sentence]


def _tuned(comparisons: Sequence[Comparison]) -> str:
    if not comparisons:
        return ""
    better = _places([one for one in comparisons if one.is_clear and not one.is_worse])
    worse = _places([one for one in comparisons if one.is_clear and one.is_worse])
    if not better and not worse:
        return "Nowhere does the tuned model differ clearly from the base model"
    gains = f"The tuned model is clearly better than the base model at {better}" if better else \
        "The tuned model is nowhere clearly better than the base model"
    return f"{gains}, and clearly worse at {worse}" if worse else f"{gains}, and nowhere clearly worse"


def _exports(comparisons: Sequence[Comparison]) -> list[str]:
    """One sentence for all exports that lost nothing, and one for each other."""
    systems = dict.fromkeys(one.system["system"] for one in comparisons)
    lost = {system: [one for one in comparisons if one.system["system"] == system and one.is_clear and one.is_worse]
            for system in systems}
    intact = [system for system in systems if not lost[system]]
    found = [f"Exporting costs nothing that these sets can show ({', '.join(intact)})"] if intact else []
    return found + [f"{system} is clearly worse than the tuned model at {_places(lost[system])}"
                    for system in systems if lost[system]]


def _forgotten(comparisons: Sequence[Comparison]) -> str:
    if not comparisons:
        return ""
    lost = _places([one for one in comparisons if one.is_clear and one.is_worse])
    return f"What tuning made it forget: it is clearly worse at {lost}" if lost else \
        "On speech that it was not tuned for, nothing is clearly worse than with the base model"


def _places(comparisons: Sequence[Comparison]) -> str:
    """``transcribing French and Russian, and translating over all languages``."""
    found = []
    for task in dict.fromkeys(_TASKS.values()):
        codes = dict.fromkeys(one.system["language"] for one in comparisons if _TASKS[one.system["metric"]] == task)
        names = [spoken_name(code) for code in codes if code != "all"]
        if names:
            found.append(f"{task} {listed(names)}")
        elif codes:
            found.append(f"{task} over all languages")
    return ", and ".join(found)


def spoken_name(code: str) -> str:
    """The name of a language as it stands in a sentence; a code that Whisper does not know stays."""
    try:
        return language_name(code).title()
    except KeyError:
        return code


def listed(names: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
