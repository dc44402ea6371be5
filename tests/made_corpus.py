"""A made corpus with lists: every word is a tone, so that a model can learn it, and nothing is downloaded."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import soundfile

# Frequency in Hz of a word, and the word in each language.
WORDS = {
    300: {"chinese": "你好", "fr": "bonjour", "en": "hello"},
    500: {"chinese": "世界", "fr": "monde", "en": "world"},
    800: {"chinese": "谢谢", "fr": "merci", "en": "thanks"},
    1300: {"chinese": "再见", "fr": "adieu", "en": "goodbye"},
}
COMPACT, SPACED = "{}|{}|{} {}", "{} | {} | {} -> {}"  # the two forms of a line, ours and the parent project's


def write_set(directory: Path, count: int, *, num_words: int = 2, form: str = COMPACT,
              languages: tuple[str, ...] = ("chinese", "fr"), word_seconds: float = 0.12, seed: int = 0) -> Path:
    """Write DIRECTORY/{transcribe,translate}/{wav.scp,text} and the audio, ``count`` utterances a language.

    Utterances differ in their words, but not in number of words and length of the audio. Keys are
    SET-LANGUAGE-NUMBER|LANGUAGE|TASK, audio paths are absolute.

    Returns:
        ``directory``.
    """
    rng = np.random.default_rng(seed)
    sentences = list(itertools.product(WORDS, repeat=num_words))
    lines: dict[tuple[str, str], list[str]] = {}
    for language, number in itertools.product(languages, range(count)):
        tones = sentences[rng.integers(len(sentences))]
        utterance = f"{directory.name}-{language}-{number:02}"
        audio = directory.resolve() / "audio" / f"{utterance}.wav"
        write_tones(audio, tones, word_seconds, rng)
        joint = "" if language == "chinese" else " "
        for task, text in (("transcribe", joint.join(WORDS[tone][language] for tone in tones)),
                           ("translate", " ".join(WORDS[tone]["en"] for tone in tones))):
            for name, value in (("wav.scp", audio), ("text", text)):
                lines.setdefault((task, name), []).append(form.format(utterance, language, task, value))
    for (task, name), content in lines.items():
        path = directory / task / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(content) + "\n", encoding="utf-8")
    return directory


def write_tones(path: Path, tones: tuple[int, ...], seconds: float, rng: np.random.Generator,
                rate: int = 16_000) -> None:
    """Write a 16-bit WAV file of tones of equal length in seconds, with a little noise."""
    time = np.arange(round(seconds * rate)) / rate
    samples = np.concatenate([0.3 * np.sin(2 * np.pi * tone * time) for tone in tones])
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples + rng.normal(0, 0.003, len(samples)), rate)


def cat_tasks(directory: Path) -> Path:
    """``cat`` the tasks' lists into DIRECTORY/{wav.scp,text}, as the parent project's README says; returns it."""
    for name in ("wav.scp", "text"):
        parts = [(directory / task / name).read_text(encoding="utf-8") for task in ("transcribe", "translate")]
        (directory / name).write_text("".join(parts), encoding="utf-8")
    return directory
