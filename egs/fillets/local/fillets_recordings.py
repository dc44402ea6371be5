"""Joins the utterances of a scene, in the order of its dialogue, into one recording with known times.

The game has a file for each line, and shows them one after the other. Joined with pauses they are recordings of one to
three minutes: context for training, and something to measure runtimes on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import soundfile

from utils.audio.constants import SAMPLE_RATE
from utils.audio.loading import load_audio
from utils.cli import progress
from utils.data.corpus_lists import CorpusUtterance
from utils.data.long_sets import join_with_pauses
from utils.filesystem import atomic_directory


def as_recordings(utterances: Sequence[CorpusUtterance], scene_of: Callable[[Path], str],
                  directory: Path) -> list[CorpusUtterance]:
    """Write DIRECTORY/LANGUAGE-SCENE.flac, and return the utterances as parts of these.

    Args:
        utterances: in the order of their dialogues.
        scene_of: the scene of an audio file.

    Raises:
        UserError: audio cannot be read.
    """
    scenes: dict[str, list[CorpusUtterance]] = {}
    for utterance in utterances:
        scenes.setdefault(f"{utterance.language}-{scene_of(utterance.audio)}", []).append(utterance)
    parts = []
    with atomic_directory(directory) as partial:
        for name, members in progress(scenes.items(), "scenes", len(scenes)):
            samples, spans = join_with_pauses([load_audio(member.source) for member in members], name)
            soundfile.write(partial / f"{name}.flac", samples, SAMPLE_RATE)
            parts += [replace(member, audio=directory / f"{name}.flac", start=span.start, end=span.end)
                      for member, span in zip(members, spans, strict=True)]
    return parts
