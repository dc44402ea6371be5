"""Recordings joined from a set's utterances, and Kaldi's segments."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from made_speech import RATE, speak

from utils.audio.loading import load_audio
from utils.data.lists import read_list, write_list
from utils.data.long_sets import write_long_set
from utils.data.segments import read_recordings, read_segments
from utils.errors import UserError


@pytest.fixture
def set_dir(tmp_path: Path) -> Path:
    """20 French utterances of 0.5 to 1.5 s, one without translation, and one of a language that has no other."""
    scp, text = {}, {}
    for number in range(20):
        path = tmp_path / f"u{number}.wav"
        soundfile.write(path, 0.2 + 0.0 * speak(0.5 + number / 20, seed=number), RATE)
        for task in ("transcribe", "translate")[:1 if number == 7 else 2]:
            scp[f"u{number}|fr|{task}"], text[f"u{number}|fr|{task}"] = str(path), f"text {number}"
    soundfile.write(tmp_path / "x.wav", speak(1), RATE)
    scp["x|de|transcribe"], text["x|de|transcribe"] = str(tmp_path / "x.wav"), "allein"
    write_list(tmp_path / "test/wav.scp", scp)
    write_list(tmp_path / "test/text", text)
    return tmp_path / "test"


def test_recordings_hold_the_utterances_where_segments_say(set_dir: Path, tmp_path: Path) -> None:
    assert write_long_set(set_dir, tmp_path / "long", seconds=10, per_language=1) == 1
    spans, scp = read_segments(tmp_path / "long/segments"), read_recordings(tmp_path / "long/wav.scp")
    assert [*scp] == ["fr-1"]
    recording, sources = load_audio(scp["fr-1"]), read_list(set_dir / "wav.scp")
    assert 8 < len(recording) / RATE < 14
    ends = []
    for key, span in spans.items():
        inside = recording[round(span.start * RATE):round(span.end * RATE)]
        assert len(inside) == pytest.approx(len(load_audio(sources[key])), abs=1 + RATE // 100)
        assert inside.mean() == pytest.approx(0.2, abs=1e-2)
        ends.append((span.start, span.end))
    outside = np.ones(len(recording), bool)
    for start, end in ends:
        outside[round(start * RATE):round(end * RATE) + RATE // 100] = False
    assert outside.any() and np.abs(recording[outside]).max() < 1e-3
    assert spans.keys() == read_list(tmp_path / "long/text").keys()
    assert not any(key.startswith(("u7|", "x|")) for key in spans)


def test_a_small_set_makes_a_shorter_recording(set_dir: Path, tmp_path: Path) -> None:
    assert write_long_set(set_dir, tmp_path / "long", seconds=1000, per_language=3) == 1
    assert len(read_segments(tmp_path / "long/segments")) == 2 * 19


def test_a_set_without_anything_to_join_is_refused(set_dir: Path, tmp_path: Path) -> None:
    write_list(set_dir / "wav.scp", {"x|de|transcribe": "u0.wav"})
    write_list(set_dir / "text", {"x|de|transcribe": "allein"})
    with pytest.raises(UserError, match="nothing to join into recordings"):
        write_long_set(set_dir, tmp_path / "long", 10, 1)
    assert not (tmp_path / "long").exists()


@pytest.mark.parametrize(("line", "complaint"), [
    ("a|fr|transcribe talk 1.0", r"segments:1: a\|fr\|transcribe: expected `key recording start end`"),
    ("a|fr|transcribe talk one two", "expected `key recording start end`"),
    ("a|fr|transcribe talk 2.0 1.0", "starts at 2 and ends at 1 s. Correct the times"),
    ("a|fr|transcribe talk -1 1.0", "starts at -1"), ("a|fr|transcribe talk 1 1", "starts at 1 and ends at 1")])
def test_bad_segments_are_one_line(tmp_path: Path, line: str, complaint: str) -> None:
    (tmp_path / "segments").write_text(line + "\n")
    with pytest.raises(UserError, match=complaint):
        read_segments(tmp_path / "segments")


@pytest.mark.parametrize(("lines", "complaint"), [("talk\n", "wav.scp:1: talk: no path"),
                                                  ("a x.wav\na y.wav\n", "wav.scp:2: a: the id of another line")])
def test_bad_recordings_are_one_line(tmp_path: Path, lines: str, complaint: str) -> None:
    (tmp_path / "wav.scp").write_text(lines)
    with pytest.raises(UserError, match=complaint):
        read_recordings(tmp_path / "wav.scp")
