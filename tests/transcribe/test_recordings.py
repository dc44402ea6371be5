"""The recordings that a command line can name, and the name that each of them gets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from utils.errors import UserError
from utils.transcribe.recordings import Recording, find_recordings


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_files_folders_and_standard_input(tmp_path: Path) -> None:
    one, two = touch(tmp_path / "talks/a b.MP3"), touch(tmp_path / "talks/deep/c.wav")
    touch(tmp_path / "talks/notes.txt")
    assert find_recordings([str(tmp_path / "talks"), "missing.wav", "-"]) == [
        Recording("a b", str(one)), Recording("deep/c", str(two)), Recording("missing", "missing.wav"),
        Recording("stdin", "-")]


def test_lists_in_all_their_forms_and_an_audio_once(tmp_path: Path) -> None:
    scp = tmp_path / "wav.scp"
    scp.write_text("\ufeffutt1 /corpus/a b.wav\nutt2 sox x.wav -t wav - |\n\nutt3|chinese|transcribe c.wav\n"
                   "utt3|chinese|translate c.wav\nutt4 | fr | translate -> d.wav\n", encoding="utf-8")
    assert find_recordings([str(scp)]) == [
        Recording("utt1", "/corpus/a b.wav"), Recording("utt2", "sox x.wav -t wav - |"),
        Recording("utt3", "c.wav", "zh"), Recording("utt4", "d.wav", "fr")]


@pytest.mark.parametrize(("content", "complaint"), [
    ("utt1 a.wav\nutt2\n", r"wav\.scp:2: no file after utt2"),
    ("utt1|klingon|transcribe a.wav\n", r"wav\.scp:1: unknown language 'klingon'"),
    ("utt1|fr a.wav\n", r"wav\.scp:1: malformed key 'utt1\|fr'"),
    ("../../x a.wav\n", r"wav\.scp:1: \.\./\.\./x would be written outside"),
    ("\n", r"wav\.scp: the list is empty"),
])
def test_a_bad_line_is_named(tmp_path: Path, content: str, complaint: str) -> None:
    (tmp_path / "wav.scp").write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=complaint):
        find_recordings([str(tmp_path / "wav.scp")])


def test_what_cannot_be_told_apart_or_is_not_there_is_refused(tmp_path: Path) -> None:
    touch(tmp_path / "empty/readme.txt")
    with pytest.raises(UserError, match=r"no audio files in this folder"):
        find_recordings([str(tmp_path / "empty")])
    with pytest.raises(UserError, match=r"a\.mp3 and .*a\.wav would both be written as a"):
        find_recordings([str(tmp_path / "x/a.mp3"), str(tmp_path / "y/a.wav")])
    with pytest.raises(UserError, match=r"nothing\.scp: cannot be read"):
        find_recordings([str(tmp_path / "nothing.scp")])


def test_a_folder_gives_all_that_has_audio_and_names_what_has_none(tmp_path: Path,
                                                                    capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "talks"
    folder.mkdir()
    for name in ("a.wav", "b.bin", "phone.wav"):
        soundfile.write(folder / name, np.zeros(1600), 16_000, format="WAV")
    (folder / "phone.wav").rename(folder / "phone.m4v")
    touch(folder / "a.mp3")  # no audio, but its name says so: its fault is named when it is read
    (folder / "notes.txt").write_text("hello")
    touch(folder / ".hidden/c.wav")
    found = {Path(recording.source).name: recording.name for recording in find_recordings([str(folder)])}
    assert found == {"a.wav": "a.wav", "a.mp3": "a.mp3", "b.bin": "b", "phone.m4v": "phone"}
    assert "left out, no audio in them: notes.txt" in capsys.readouterr().err
