"""References of utterances in which nobody speaks: ``id|language|task <nospeech>``."""

from __future__ import annotations

from pathlib import Path

from utils.data.lists import read_list

NO_SPEECH = "<nospeech>"  # in place of a text: nothing should be written


def reference_text(text: str) -> str:
    """What should be written: the text, or nothing for ``<nospeech>``."""
    return "" if text == NO_SPEECH else text


def read_spoken_texts(path: str | Path) -> dict[str, str]:
    """The texts of a ``text`` list in which something is said, by key.

    Raises:
        UserError: see :func:`utils.data.lists.read_list`.
    """
    return {key: text for key, text in read_list(path).items() if text != NO_SPEECH}
