"""Lists of words for before a prompt, as users give them: some that are said and rare, others that are not said."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from utils.data.languages import is_spaceless
from utils.data.lists import parse_key
from utils.data.silent_references import NO_SPEECH

_SAID = 3  # the most words of a list that are said
_NEEDLESS = 5  # the most that are not
_LEAST_LETTERS = 4  # of a word in a list
_PIECE = (2, 4)  # characters of what stands for a word in a language written without spaces


class WordLists:
    """Draws lists of words.

    Args:
        texts: references by key.
    """

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts
        self._counts: dict[str, Counter[str]] = {}
        self._keys: dict[str, list[str]] = {}
        for key, text in texts.items():
            if text == NO_SPEECH:
                continue
            kind = key.split("|", 1)[1]
            self._keys.setdefault(kind, []).append(key)
            self._counts.setdefault(kind, Counter()).update(_words(text))
        self._known = {kind: [*counts] for kind, counts in self._counts.items()}

    def draw(self, keys: Sequence[str], rng: np.random.Generator) -> str:
        """``word, word``; empty if no word is found.

        Args:
            keys: of a window's utterances, of one language and task. A language written without spaces has no words
                here: pieces of its text stand for them, never a whole sentence, which would be the answer.
        """
        kind = keys[0].split("|", 1)[1]
        texts = [self._texts[key] for key in keys]
        n_said, n_needless = int(rng.integers(0, _SAID + 1)), int(rng.integers(1, _NEEDLESS + 1))
        parsed = parse_key(keys[0])
        if parsed.task == "transcribe" and is_spaceless(parsed.language):
            said = [_piece(texts[int(rng.integers(len(texts)))], rng) for _ in range(n_said)]
            others = [self._texts[key] for key in self._drawn(self._keys[kind], n_needless, rng)]
            needless = [_piece(text, rng) for text in others]
        else:
            words = dict.fromkeys(word for text in texts for word in _words(text))
            said = sorted(words, key=self._counts[kind].__getitem__)[:n_said]
            needless = self._drawn(self._known[kind], n_needless, rng)
        needless = [word for word in needless if not any(word in text for text in texts)]
        chosen = [word for word in dict.fromkeys([*said, *needless]) if word]
        return ", ".join(chosen[index] for index in rng.permutation(len(chosen)))

    @staticmethod
    def _drawn(among: Sequence[str], count: int, rng: np.random.Generator) -> list[str]:
        return [among[index] for index in rng.integers(len(among), size=count)] if among else []


def _words(text: str) -> list[str]:
    return [word for word in (part.strip(".,;:!?¿¡\"'()") for part in text.split()) if len(word) >= _LEAST_LETTERS]


def _piece(text: str, rng: np.random.Generator) -> str:
    """Some successive characters of a text, at most half of it, none of them punctuation; may be empty."""
    length = min(int(rng.integers(_PIECE[0], _PIECE[1] + 1)), len(text) // 2)
    if length < _PIECE[0]:
        return ""
    kinds = [unicodedata.category(char)[0] for char in text]
    starts = [start for start in range(len(text) - length + 1)
              if kinds[start] != "M" and all(kind in "LNM" for kind in kinds[start:start + length])]
    if not starts:
        return ""
    start = starts[int(rng.integers(len(starts)))]
    return text[start:start + length]
