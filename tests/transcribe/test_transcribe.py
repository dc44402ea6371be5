"""pyscripts/transcribe.py as a user runs it."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from made_speech import RATE, silence, speak

from pyscripts.transcribe import main
from utils.cli import run_main
from utils.export import convert, merge

TALK = np.concatenate([silence(0.5), speak(3), silence(2), speak(3, 2), silence(1)])


@pytest.fixture(scope="module")
def model(tiny_whisper: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("an export")
    merge(tiny_whisper, tiny_whisper, directory / "merged")
    convert(directory / "merged", directory / "ct2", "float32", window="short")
    return directory / "ct2"


@pytest.fixture
def transcribe(monkeypatch: pytest.MonkeyPatch,
               capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run the script in this process, where torch is imported; returns exit status, stdout, stderr."""
    def run(*arguments: object, stdin: bytes = b"") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["pyscripts/transcribe.py", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as exited:
            run_main(main)
        return (exited.value.code, *capsys.readouterr())

    return run


def test_one_bad_file_does_not_stop_the_rest(transcribe: Callable[..., Any], model: Path, tmp_path: Path) -> None:
    talks = tmp_path / "my talks"
    (talks / "deep").mkdir(parents=True)
    soundfile.write(talks / "deep/one.flac", TALK, RATE)
    soundfile.write(talks / "two.wav", np.stack([TALK, TALK], 1), RATE)
    (talks / "broken.mp3").write_bytes(b"no audio at all")
    status, _, errors = transcribe(talks, "missing.wav", "--model", model, "--format", "srt,kaldi jsonl",
                                   "--output-dir", tmp_path / "out", "--language", "fr", "--nj", 3)
    complaints = [line for line in errors.splitlines() if "error:" in line]
    assert status == 1 and len(complaints) == 3
    assert "broken.mp3" in complaints[0] and "missing.wav: does not exist" in complaints[1]
    assert complaints[2] == "transcribe.py: error: 2 of 4 recordings could not be read; see above"
    assert {path.name for path in (tmp_path / "out").rglob("*.*")} == {
        "one.srt", "one.en.srt", "two.srt", "two.en.srt", "transcripts.jsonl"}
    lines = (tmp_path / "out/text").read_text("utf-8").splitlines()
    assert [line.split()[0] for line in lines] == [f"{name}|fr|{task}" for name in ("deep/one", "two")
                                                   for task in ("transcribe", "translate")]
    one, two = (line.split(maxsplit=1)[1:] for line in lines[::2])
    assert one == two  # the same audio, though in two channels


def test_a_file_may_come_through_a_pipe(transcribe: Callable[..., Any], model: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "talk.ogg", TALK, RATE)
    arguments = ("--model", model, "--task", "translate", "--language", "fr", "--format", "vtt")
    status, piped, _ = transcribe("-", *arguments, stdin=(tmp_path / "talk.ogg").read_bytes())
    assert status == 0 and piped.startswith("WEBVTT\n\n00:00:0")
    assert transcribe(tmp_path / "talk.ogg", *arguments)[1] == piped
    status, _, errors = transcribe("-", *arguments)
    assert status == 1 and "standard input: is empty. Pipe audio into it" in errors


def test_a_microphone_is_heard_while_it_speaks(transcribe: Callable[..., Any], model: Path) -> None:
    samples = (TALK * 32767).astype("<i2").tobytes()
    status, printed, errors = transcribe("-", "--raw", "true", "--live", "true", "--model", model, "--format", "jsonl",
                                         "--task", "transcribe", "--language", "fr", stdin=samples)
    assert status == 0, errors
    spoken = [json.loads(line) for line in printed.splitlines()]
    assert [round(utterance["segments"][0]["start"]) for utterance in spoken] == [0, 5]
    assert all(utterance["transcribe"] and "translate" not in utterance for utterance in spoken)


@pytest.mark.parametrize(("options", "complaint"), [
    (["--language", "klingon"], "error: unknown language 'klingon'"),
    (["--format", "srt"], "need files: --output-dir"),
    (["--device", "cpu", "--compute-type", "float17"], "error: compute_type: this cpu has no float17"),
    (["--hotwords", "x" * 300], "error: hotwords: "),
])
def test_what_cannot_be_done_is_said_before_anything_is_decoded(transcribe: Callable[..., Any], model: Path,
                                                                options: list[str], complaint: str) -> None:
    status, printed, errors = transcribe("a.wav", "--model", model, *options)
    assert (status, printed) == (1, "")
    assert complaint in errors and "a.wav" not in errors


def test_two_sides_of_a_call_are_told_apart(transcribe: Callable[..., Any], model: Path, tmp_path: Path) -> None:
    quiet = np.zeros(len(TALK))
    other = np.concatenate([silence(4), speak(1.2, 3), silence(20)])[:len(TALK)]
    soundfile.write(tmp_path / "call.wav", np.stack([TALK, other], 1), RATE)
    soundfile.write(tmp_path / "one.wav", np.stack([TALK, quiet], 1), RATE)
    arguments = ("--model", model, "--language", "fr", "--task", "transcribe", "--format")
    found = json.loads(transcribe(tmp_path / "call.wav", *arguments, "jsonl", "--channels", "split")[1])
    speakers = [segment["speaker"] for segment in found["segments"]]
    starts = [segment["start"] for segment in found["segments"]]
    assert starts == sorted(starts) and set(speakers) == {"1", "2"}
    alone = json.loads(transcribe(tmp_path / "one.wav", *arguments, "jsonl", "--channels", "split")[1])
    assert {segment["speaker"] for segment in alone["segments"]} == {"1"}
    assert transcribe(tmp_path / "one.wav", *arguments, "text", "--channels", "split")[1].startswith("1: ")
    status, _, errors = transcribe("-", *arguments, "text", "--channels", "split", "--raw", "true", stdin=b"\0" * 9000)
    assert status == 1 and "has one channel here; --channels split is for audio files" in errors


def test_what_is_there_already_is_left_out(transcribe: Callable[..., Any], model: Path, tmp_path: Path) -> None:
    talks, out = tmp_path / "talks", tmp_path / "out"
    talks.mkdir()
    soundfile.write(talks / "one.wav", TALK, RATE)
    arguments = (talks, "--model", model, "--language", "fr", "--format", "text srt kaldi jsonl", "--output-dir", out,
                 "--skip-existing", "true")
    assert transcribe(*arguments)[0] == 0
    soundfile.write(talks / "two.wav", TALK, RATE)
    (out / "one.txt").write_text("corrected by hand", encoding="utf-8")
    status, _, said = transcribe(*arguments)
    assert status == 0 and "1 of 2 recordings are there already, and left out" in said
    assert (out / "one.txt").read_text(encoding="utf-8") == "corrected by hand"
    rows = (out / "transcripts.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(row)["name"] for row in rows] == ["one", "two"]
    assert {line.split("|")[0] for line in (out / "text").read_text(encoding="utf-8").splitlines()} == {"one", "two"}
    (out / "one.srt").unlink()  # one that an earlier run did not finish is done again
    assert transcribe(*arguments)[0] == 0 and (out / "one.srt").exists()
    (out / "transcripts.jsonl").write_text("[]\n")
    assert "transcripts.jsonl: is no list of this program. Delete it" in transcribe(*arguments)[2]


def test_each_segment_may_have_its_own_language(transcribe: Callable[..., Any], model: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "talk.wav", TALK, RATE)
    printed = transcribe(tmp_path / "talk.wav", "--model", model, "--language", "each", "--format", "jsonl")[1]
    found = json.loads(printed)
    assert len(found["segments"]) == 2 and all(len(segment["language"]) >= 2 for segment in found["segments"])
    assert found["language"] and 0 < found["language_probability"] <= 1
