"""utils/transcribe.py as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from made_speech import RATE, silence, speak

from utils.export import convert, merge

SCRIPT = Path(__file__).resolve().parents[1] / "utils/transcribe.py"
TALK = np.concatenate([silence(0.5), speak(3), silence(2), speak(3, 2), silence(1)])


@pytest.fixture(scope="module")
def model(tiny_whisper: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("an export")
    merge(tiny_whisper, tiny_whisper, directory / "merged")
    convert(directory / "merged", directory / "ct2", "float32", window="short")
    return directory / "ct2"


def transcribe(*arguments: object, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, SCRIPT, *map(str, arguments)], input=stdin, capture_output=True, timeout=300)


@pytest.mark.slow
def test_one_bad_file_does_not_stop_the_rest(model: Path, tmp_path: Path) -> None:
    talks = tmp_path / "my talks"
    (talks / "deep").mkdir(parents=True)
    soundfile.write(talks / "deep/one.flac", TALK, RATE)
    soundfile.write(talks / "two.wav", np.stack([TALK, TALK], 1), 2 * RATE)
    (talks / "broken.mp3").write_bytes(b"no audio at all")
    done = transcribe(talks, "missing.wav", "--model", model, "--format", "srt,kaldi jsonl", "--output-dir",
                      tmp_path / "out", "--language", "fr", "--nj", 3)
    complaints = [line for line in done.stderr.decode().splitlines() if "error:" in line]
    assert done.returncode == 1
    assert len(complaints) == 3 and "Traceback" not in done.stderr.decode()
    assert "broken.mp3" in complaints[0] and "missing.wav: does not exist" in complaints[1]
    assert complaints[2] == "transcribe.py: error: 2 of 4 recordings could not be read; see above"
    assert {path.name for path in (tmp_path / "out").rglob("*.*")} == {
        "one.srt", "one.en.srt", "two.srt", "two.en.srt", "transcripts.jsonl"}
    lines = (tmp_path / "out/text").read_text("utf-8").splitlines()
    assert [line.split()[0] for line in lines] == [f"{name}|fr|{task}" for name in ("deep/one", "two")
                                                   for task in ("transcribe", "translate")]


@pytest.mark.slow
def test_a_microphone_is_heard_while_it_speaks(model: Path) -> None:
    samples = (TALK * 32767).astype("<i2").tobytes()
    done = transcribe("-", "--raw", "true", "--live", "true", "--model", model, "--format", "jsonl", "--task",
                      "transcribe", "--language", "fr", stdin=samples)
    assert done.returncode == 0, done.stderr.decode()
    spoken = [json.loads(line) for line in done.stdout.decode().splitlines()]
    assert [round(one["segments"][0]["start"]) for one in spoken] == [0, 5]
    assert all(one["transcribe"] and "translate" not in one for one in spoken)
