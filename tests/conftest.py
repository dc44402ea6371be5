"""Fixtures shared by all tests: made audio and a random model, never a download."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from exported_tiny import ExportedTiny, export_tiny
from made_corpus import cat_tasks, write_set
from tiny_whisper import make_tiny_whisper


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run slow tests last, so that failures of quick tests show early.

    In parallel runs each file goes to one core, files with the most slow tests first, so that all cores end together.
    """
    slow_tests = Counter(item.path for item in items if "slow" in item.keywords)
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: -slow_tests[item.path])
    else:
        items.sort(key=lambda item: "slow" in item.keywords)


@pytest.hookimpl(tryfirst=True)  # before fixtures, which may use the programs
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip tests whose programs are missing; with NO_SKIPS set, as CI has it, they fail instead."""
    for marker in item.iter_markers("programs"):
        if missing := [program for program in marker.args if shutil.which(program) is None]:
            give_up = pytest.fail if os.environ.get("NO_SKIPS") else pytest.skip
            give_up(f"not installed: {', '.join(missing)} (Debian's packages sctk, chromium-driver)")


@pytest.fixture(scope="session")
def tiny_whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hugging Face directory with a random multilingual Whisper of 80 mels; tests only read it."""
    return make_tiny_whisper(tmp_path_factory.mktemp("model") / "tiny whisper")


@pytest.fixture(scope="session")
def exported_tiny(tiny_whisper: Path, tmp_path_factory: pytest.TempPathFactory) -> ExportedTiny:
    """An adapter for the tiny model, merged, and exported as int8; tests only read it."""
    return export_tiny(tiny_whisper, tmp_path_factory.mktemp("exp") / "made up")


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """train and dev of made speech, 8 and 4 utterances with both tasks in one list; tests only read it."""
    directory = tmp_path_factory.mktemp("made corpus")
    for number, (name, count) in enumerate((("train", 4), ("dev", 2))):
        cat_tasks(write_set(directory / name, count, seed=number))
    return directory


@pytest.fixture
def make_wav(tmp_path: Path) -> Callable[..., Path]:
    """``make_wav(name, seconds, rate, channels, subtype)`` writes a tone into tmp_path, returns its path.

    The name decides the format (wav, flac, mp3, ogg). Channel ``c`` is ``1 / (c + 1)`` as loud as the first,
    so that the average of all differs from each.
    """
    def write(name: str, seconds: float = 0.5, rate: int = 16_000, channels: int = 1,
              subtype: str | None = None) -> Path:
        time = np.arange(round(seconds * rate)) / rate
        tone = 0.4 * np.sin(2 * np.pi * 440 * time)
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.stack([tone / (channel + 1) for channel in range(channels)], axis=1), rate,
                        subtype=subtype)
        return path

    return write
