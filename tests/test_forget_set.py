"""The default forget set: a sample of dialogues that the default corpus downloads, or goes on without."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from replica_files import recording

from utils.data.lists import read_list

ROOT = Path(__file__).resolve().parents[1]
TRANSCRIPTS = {f"p{number}": text for number, text in enumerate((
    "seven", "press the star key", "goodbye", "your call is important", "for", "folder 5", "please hold",
    "the conference is now locked", "eleven o'clock", "invalid extension", "i'm sorry", "transfer"))}


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A directory with English prompts, as if downloaded, and an apt-get that has nothing."""
    directory = tmp_path / "download/prompts/en"
    directory.mkdir(parents=True)
    (directory / "core-sounds-en.txt").write_text("".join(f"{name}: {text}\n" for name, text in TRANSCRIPTS.items()))
    for name in TRANSCRIPTS:
        (directory / f"{name}.g722").write_bytes(bytes(16_000))
    (directory / ".complete").write_text("made\n")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/apt-get").write_text("#!/bin/sh\necho 'E: no network' >&2\nexit 100\n")
    (tmp_path / "bin/apt-get").chmod(0o755)
    return tmp_path


def run(work: Path, model: Path, *options: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PATH": f"{work / 'bin'}:{os.environ['PATH']}"}
    return subprocess.run([ROOT / "run.sh", "--model", model, "--languages", "en", "--nj", "1", "--stop-stage", "1",
                           *options], cwd=work, env=environment, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_where_the_dialogues_cannot_be_had_a_line_says_so(work: Path, tiny_whisper: Path) -> None:
    done = run(work, tiny_whisper)
    assert done.returncode == 0, done.stderr
    assert "no fillets-ng-data_1.0.1-1.1_all.deb" in done.stderr
    assert "this run does not measure what tuning makes forget" in done.stderr
    assert (work / "data/train/text").is_file() and not (work / "data/dialogues").exists()


@pytest.mark.slow
def test_a_sample_of_each_language_becomes_the_forget_set(work: Path, tiny_whisper: Path) -> None:
    texts = work / "download/fillets/fillets-ng-data/script/scene"
    texts.mkdir(parents=True)
    (texts / "dialogs.lua").touch()
    for language in ("cs", "nl"):
        sound = work / f"download/fillets/fillets-ng-data-{language}/sound/scene/{language}"
        sound.mkdir(parents=True)
        lines = []
        for number in range(140):
            (sound / f"s-m-{number}.ogg").write_bytes(recording(0.2, format="OGG"))
            lines.append(f'dialogId("s-m-{number}", "font", "line {number}")\ndialogStr("{language} {number}")\n')
        (texts / f"dialogs_{language}.lua").write_text("".join(lines))
    for package in (work / "download/fillets").iterdir():
        (package / ".complete").write_text("made\n")
    done = run(work, tiny_whisper)
    assert done.returncode == 0, done.stderr
    keys = read_list(work / "data/dialogues/text").keys()
    assert {(language, task): sum(key.endswith(f"|{language}|{task}") for key in keys)
            for language in ("cs", "nl") for task in ("transcribe", "translate")} == {
        (language, task): 60 for language in ("cs", "nl") for task in ("transcribe", "translate")}
    chosen_on = read_list(work / "data/dialogues_dev/text").keys()
    rehearsed = read_list(work / "data/dialogues_rehearsal/text").keys()
    assert len(chosen_on) == len(keys) and len(rehearsed) == 2 * 20  # what is left of Czech; no Dutch
    assert not keys & chosen_on and not (keys | chosen_on) & rehearsed
    assert not any("|nl|" in key for key in rehearsed)
    assert "merge_dialogues_rehearsal" in run(work, tiny_whisper, "--status").stdout
    assert "merge_dialogues_rehearsal" not in run(work, tiny_whisper, "--status", "--rehearsal-set", "").stdout
    left_out = run(work, tiny_whisper, "--forget-set", "").stderr
    assert "merge_train" in left_out and "merge_dialogues" not in left_out


@pytest.mark.slow
def test_own_lists_have_no_forget_set_unless_it_is_named(tmp_path: Path, tiny_whisper: Path) -> None:
    done = run(tmp_path, tiny_whisper, "--corpus-name", "", "--status")
    assert "dialogues" not in done.stdout
