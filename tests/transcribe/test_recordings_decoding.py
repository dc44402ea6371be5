"""Models on recordings: decoded in each runtime, scored, shown in reports, judged."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import made_scores
import pytest
import soundfile
from exported_tiny import ExportedTiny
from made_scores import add_decode, references, tables
from made_speech import RATE, speak

from utils import ROOT
from utils.data.lists import read_list, write_list
from utils.filesystem import read_json, write_json

RUNTIMES = ("faster-whisper", "faster-whisper-batched", "recognizer")
TEXTS = references(20)


def run(script: str, *args: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, ROOT / "pyscripts" / script, *map(str, args)], capture_output=True,
                          text=True, check=False)


@pytest.fixture(scope="module")
def long_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of made speech in French, four utterances with both tasks."""
    root = tmp_path_factory.mktemp("long set")
    scp, text = {}, {}
    for number in range(4):
        soundfile.write(root / f"u{number}.wav", speak(1.0, seed=number), RATE)
        for task in ("transcribe", "translate"):
            key = f"u{number}|fr|{task}"
            scp[key], text[key] = str(root / f"u{number}.wav"), f"some text {number}"
    write_list(root / "test/wav.scp", scp, verbatim=True)
    write_list(root / "test/text", text)
    done = run("make_long_set.py", root / "test", root / "test_long")
    assert done.returncode == 0, done.stderr
    return root / "test_long"


@pytest.mark.slow
def test_a_model_is_decoded_in_each_runtime(long_set: Path, exported_tiny: ExportedTiny, tmp_path: Path) -> None:
    for system, model in (("ct2-int8", [exported_tiny.ct2_int8]), ("base", [exported_tiny.base])):
        done = run("decode_recordings.py", "--model", *model, "--system", system, "--compute-type", "int8", long_set,
                   tmp_path / "recordings")
        assert done.returncode == 0, done.stderr
    for runtime in RUNTIMES:
        directory = tmp_path / f"recordings/decode_test_long-{runtime}_ct2-int8"
        assert read_list(directory / "text", allow_empty=True).keys() == read_list(long_set / "text").keys()
        info = read_json(directory / "decode.json", "")
        assert info["runtime"] == runtime and info["set"] == f"test_long-{runtime}" and info["seconds"] > 0
        errors = read_json(directory / "times.json", "")
        assert [(one["recording"], one["task"], len(one["starts"])) for one in errors] == [
            ("fr-1", "transcribe", 4), ("fr-1", "translate", 4)]
        for line in (directory / "segments.jsonl").read_text().splitlines():
            assert json.loads(line).keys() == {"recording", "task", "start", "end", "text"}
        assert run("score.py", "--ref", long_set / "text", directory).returncode == 0
    assert not list(tmp_path.glob("recordings/model*"))  # the base model's conversion


def test_an_unknown_runtime_is_refused(long_set: Path, tmp_path: Path) -> None:
    done = run("decode_recordings.py", "--model", tmp_path, "--runtimes", "whisperx", long_set, tmp_path)
    assert done.returncode == 1 and "--runtimes: no whisperx; there are faster-whisper " in done.stderr


@pytest.fixture
def experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Base model and export on recordings in two runtimes; in one of them the export is worse."""
    exp = tmp_path / "exp"
    rates = {"faster-whisper": {"base": 0.4, "ct2-int8": 0.1}, "recognizer": {"base": 0.1, "ct2-int8": 0.4}}
    for runtime, systems in rates.items():
        for system, rate in systems.items():
            monkeypatch.setitem(made_scores.ERRORS, system, dict.fromkeys(("en", "fr", "ru"), rate))
            directory = add_decode(exp / "recordings", system, TEXTS, set_name=f"test_long-{runtime}")
            info = read_json(directory / "decode.json", "")
            write_json(directory / "decode.json", info | {"runtime": runtime, "seconds": 10 if system == "base" else 5})
            write_json(directory / "times.json", [{"recording": "fr-1", "task": "transcribe", "words_outside": 3,
                                                   "starts": [0.0, 0.1, 0.4], "ends": [0.2]}])
    return exp


def test_a_loss_on_recordings_fails_and_names_the_figures(experiment: Path) -> None:
    done = run("check_recordings.py", experiment)
    assert done.returncode == 1
    assert "ct2-int8 in recognizer is worse than the base model on recordings by more than 1.0: WER " in done.stderr
    assert "ct2-int8 in faster-whisper is worse" not in done.stderr
    assert run("check_recordings.py", "--tolerance", 100, experiment).returncode == 0
    shown = tables(done.stdout)[0]
    assert [(row["recordings"], row["system"], row["time"]) for row in shown] == [
        ("test_long-faster-whisper", "base", "1.00"), ("test_long-faster-whisper", "ct2-int8", "0.50"),
        ("test_long-recognizer", "base", "1.00"), ("test_long-recognizer", "ct2-int8", "0.50")]
    assert "(better: en fr ru)" in shown[1]["WER"] and "(worse: en fr ru)" in shown[3]["WER"]
    assert shown[0]["starts off, median (95 %)"] == "0.10 s (0.37)" and shown[0]["within 0.2 s"] == "67 %"
    assert shown[0]["words in silence a minute"] == "2.0"


def test_nothing_decoded_is_one_line(tmp_path: Path) -> None:
    assert "nothing is decoded there" in run("check_recordings.py", tmp_path).stderr


def test_reports_show_recordings(experiment: Path) -> None:
    add_decode(experiment, "lora", TEXTS)
    write_list(experiment / "test/text", TEXTS)
    done = run("make_report.py", "--data", experiment, "--audio", "none", experiment)
    assert done.returncode == 0, done.stderr
    assert "| test_long-recognizer     | ct2-int8" in (experiment / "RESULTS.md").read_text()
    assert "<td>test_long-recognizer</td>" in (experiment / "report.html").read_text()
    rows = [row for row in read_json(experiment / "results.json", "") if "runtime" in row]
    assert {(row["system"], row["runtime"]) for row in rows} == {
        (system, runtime) for system in ("base", "ct2-int8") for runtime in ("faster-whisper", "recognizer")}
    shutil.rmtree(experiment / "recordings")
    assert run("make_report.py", experiment).returncode == 0
    assert "Recordings" not in (experiment / "RESULTS.md").read_text()
