"""Word times: their measurement on joined recordings, and the choice of other alignment heads."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from exported_tiny import ExportedTiny
from faster_whisper import WhisperModel
from transformers import WhisperForConditionalGeneration

from utils.errors import UserError
from utils.export import convert, word_time_check
from utils.export.alignment_heads import choose_heads, head_distances, heads_of, write_heads
from utils.export.ct2_check import check_ct2
from utils.export.word_time_check import check_word_times
from utils.export.word_times import Clip, WordTimes, boundary_errors, join_recordings, measure_word_times

RATE = 16_000
LEAD, TAIL = 0.3, 0.2  # seconds of silence around the speech of a recording


def loud(samples: np.ndarray) -> tuple[int, int] | None:
    """Where the made speech is: silero knows that tones are none."""
    found = np.flatnonzero(np.abs(samples) > 0.05)
    return (int(found[0]), int(found[-1]) + 1) if len(found) else None


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """16 recordings each in French and Russian, their translations, one silent recording and a command."""
    directory = tmp_path_factory.mktemp("data") / "test"
    directory.mkdir()
    wavs, texts = {}, {}
    rng = np.random.default_rng(0)
    for index in range(16):
        for language in ("fr", "ru"):
            seconds = 0.5 + 0.05 * index
            tone = 0.3 * np.sin(np.arange(round(seconds * RATE)) * rng.uniform(0.1, 0.3))
            quiet = [np.zeros(round(part * RATE)) for part in (LEAD, TAIL)]
            path = directory / f"{language}{index:02}.wav"
            soundfile.write(path, np.concatenate([quiet[0], tone, quiet[1]]), RATE)
            for task in ("transcribe", "translate"):
                wavs[f"u{index:02}|{language}|{task}"] = str(path)
                texts[f"u{index:02}|{language}|{task}"] = f"un {index}"
    soundfile.write(directory / "silent.wav", np.zeros(RATE), RATE)
    wavs |= {"v1|fr|transcribe": str(directory / "silent.wav"), "v2|fr|transcribe": "touch ran |"}
    texts |= {"v1|fr|transcribe": "rien", "v2|fr|transcribe": "rien"}
    for name, lines in (("wav.scp", wavs), ("text", texts)):
        (directory / name).write_text("".join(f"{key} {value}\n" for key, value in sorted(lines.items())))
    return directory


def test_recordings_begin_where_it_is_said(data_dir: Path) -> None:
    clips = join_recordings(data_dir, 100, bounds=loud)
    assert len({clip.key.split("|")[1] for clip in clips[:2]}) == 2  # the languages in turn
    for clip in clips:
        assert clip.key.endswith("|transcribe") and "rien" not in clip.texts
        assert 2 <= len(clip.texts) == len(clip.onsets) and len(clip.samples) <= 30 * RATE
        for onset, pause in zip(clip.onsets, clip.pauses, strict=True):
            at = round(onset * RATE)
            assert 0.4 <= pause <= 1.2 and np.abs(clip.samples[at - round(pause * RATE):at]).max() == 0
            assert np.abs(clip.samples[at:at + 200]).max() > 0.05
    assert sum(len(clip.texts) for clip in clips) > 20
    again = join_recordings(data_dir, 100, bounds=loud)
    assert [clip.onsets for clip in again] == [clip.onsets for clip in clips]
    assert len(join_recordings(data_dir, 3, bounds=loud)) == 3


@pytest.mark.parametrize(("onsets", "pauses", "expected"), [
    ([0.5, 1.2, 2.1], [0.5, 0.1, 0.4], [-0.1, 0.1]),  # before the silence, and after it
    ([0.5, 1.1, 2.5], [0.5, 0.4, 0.4], [0, 0])])
def test_boundaries_are_read_off_the_path(onsets: list[float], pauses: list[float], expected: list[float]) -> None:
    """Two tokens, three, and one; the second and the third recording's words are met at 1.0 s and 2.2 s."""
    path = [(0, 0), (1, 10), (1, 49), (2, 50), (2, 60), (3, 70), (4, 80), (5, 110), (6, 150)]
    clip = Clip("a|fr|transcribe", np.zeros(4 * RATE, np.float32), ["", "", ""], onsets, pauses)
    assert boundary_errors(path, [2, 3, 1], clip) == pytest.approx(expected)


def test_errors_are_summed_up() -> None:
    times = WordTimes(np.array([-0.1, 0.2, 0.5, -1.0]))
    assert times.share_close == 0.5 and times.mean == pytest.approx(0.45)


def test_heads_that_follow_the_audio_are_told_from_others() -> None:
    clip = Clip("a|fr|transcribe", np.zeros(4 * RATE, np.float32), ["", ""], [1.0, 3.0], [1.0, 0.5])
    weights = np.zeros((2, 2, 3, 1500))
    follows = [int(second * 50) for second in (1.5, 2.5, 3.5)]
    for row, position in enumerate(follows):
        weights[1, 0, row, position] = 1  # in step
        weights[0, 1, row, position + 20] = 1  # 0.4 s late
        weights[0, 0, row, 0] = 1  # the beginning, always
        weights[1, 1, row, 1400 - row] = 1  # far away
    distances = head_distances(weights, [2, 1], clip)
    assert distances[1, 0] == pytest.approx(0) and distances[0, 1] == pytest.approx(0.4)
    assert distances[0, 0] > 1 and distances[1, 1] == 2.0


@pytest.fixture
def exports(exported_tiny: ExportedTiny, tmp_path: Path) -> ExportedTiny:
    """Copies whose settings may be changed."""
    for name in ("merged", "ct2_int8"):
        shutil.copytree(exported_tiny.adapter / name, tmp_path / name)
    return ExportedTiny(exported_tiny.base, tmp_path, tmp_path / "merged", tmp_path / "ct2_int8")


def test_heads_are_chosen_and_written_everywhere(exports: ExportedTiny, data_dir: Path) -> None:
    heads = choose_heads(exports.merged, join_recordings(data_dir, 2, bounds=loud), 1)
    assert len(heads) == 1 and all(0 <= index < 2 for index in heads[0])
    assert heads_of(exports.merged) == [[0, 0], [0, 1]]
    write_heads([[1, 1]], exports.merged, [exports.ct2_int8])
    assert heads_of(exports.merged) == [[1, 1]]
    assert json.loads((exports.ct2_int8 / "config.json").read_text())["alignment_heads"] == [[1, 1]]
    check_ct2(exports.ct2_int8, exports.merged)


def check(exports: ExportedTiny, data_dir: Path, tolerance: float) -> dict:
    return check_word_times(exports.base, exports.merged, [exports.ct2_int8], data_dir, data_dir,
                            tolerance=tolerance, n_clips=100, bounds=loud)


def test_an_export_that_is_as_good_keeps_its_heads(exports: ExportedTiny, data_dir: Path) -> None:
    found = check(exports, data_dir, tolerance=100)
    assert found["sentence"].startswith("Word times are as good as the base model's: at ")
    assert f"of {found['n_places']} places" in found["sentence"]
    assert found["n_places"] >= 20 and "heads" not in found
    assert heads_of(exports.merged) == [[0, 0], [0, 1]]


def test_a_new_export_gets_the_heads_that_were_chosen_for_the_first(exports: ExportedTiny,
                                                                    data_dir: Path) -> None:
    write_heads([[1, 1]], exports.ct2_int8, [exports.ct2_int8])
    check_ct2(exports.ct2_int8, exports.merged)  # before word times are checked again
    convert(exports.merged, exports.adapter / "ct2_float32", "float32")
    new = [exports.ct2_int8, exports.adapter / "ct2_float32"]
    check_word_times(exports.base, exports.merged, new, data_dir, data_dir, tolerance=100, n_clips=100, bounds=loud)
    assert heads_of(exports.merged) == heads_of(new[1]) == [[1, 1]]
    check_ct2(new[1], exports.merged)


def test_a_worse_export_gets_other_heads(exports: ExportedTiny, data_dir: Path,
                                         monkeypatch: pytest.MonkeyPatch) -> None:
    far, near = np.full(30, 1.0), np.zeros(30)
    monkeypatch.setattr(word_time_check, "measure_word_times",
                        lambda model, clips: WordTimes(far if model == exports.ct2_int8 else near))
    found = check(exports, data_dir, tolerance=5)
    assert found["sentence"].startswith("Word times: after tuning, other alignment heads follow the audio better")
    assert found["tuned"]["per_cent_close"] == 0 and found["chosen"]["per_cent_close"] == 100
    assert heads_of(exports.merged) == heads_of(exports.ct2_int8) == found["heads"] != []
    check_ct2(exports.ct2_int8, exports.merged)


def test_an_export_that_stays_worse_has_no_word_times(exports: ExportedTiny, data_dir: Path) -> None:
    """Both runtimes refuse word times and still transcribe; a later check that passes switches them on again."""
    before = [texts_and_words(exports, word_times) for word_times in (False, True)]
    assert all(word for _, word in before[1])
    found = check(exports, data_dir, tolerance=-101)  # nothing can meet that
    assert found["sentence"].startswith(
        "WORD TIMES ARE SWITCHED OFF: with other alignment heads, too, they are worse than the base model's")
    check_ct2(exports.ct2_int8, exports.merged)
    assert sorted(path.name for path in exports.adapter.iterdir()) == ["ct2_int8", "merged"]  # nothing left behind
    assert texts_and_words(exports, word_times=False) == before[0]
    with pytest.raises(ValueError, match="index dimension"):
        texts_and_words(exports, word_times=True)
    stock = WhisperForConditionalGeneration.from_pretrained(exports.merged)
    with pytest.raises(ValueError, match="no `alignment_heads`"):
        stock.generate(torch.zeros(1, 80, 3000), return_token_timestamps=True, max_new_tokens=3)
    assert check(exports, data_dir, tolerance=-101) == found
    assert "as good as" in check(exports, data_dir, tolerance=100)["sentence"]
    assert heads_of(exports.merged) == heads_of(exports.base)
    assert texts_and_words(exports, word_times=True) == before[1]


def texts_and_words(exports: ExportedTiny, word_times: bool) -> list[tuple[str, list[tuple[float, str]]]]:
    tone = 0.3 * np.sin(np.arange(2 * RATE) * 0.2).astype(np.float32)
    segments, _ = WhisperModel(str(exports.ct2_int8)).transcribe(
        tone, language="fr", word_timestamps=word_times, temperature=0, max_new_tokens=8, no_speech_threshold=None)
    return [(segment.text, [(word.start, word.word) for word in segment.words or []]) for segment in segments]


def test_too_little_speech_is_said(exports: ExportedTiny, data_dir: Path) -> None:
    found = check_word_times(exports.base, exports.merged, [exports.ct2_int8], data_dir, data_dir, tolerance=5,
                             n_clips=2, bounds=loud)
    assert found["sentence"].startswith("Word times were not checked: ") and found["n_places"] < 20
    with pytest.raises(UserError, match=r"wav\.scp"):
        join_recordings(data_dir / "none", 2, bounds=loud)


def test_measured_are_all_places_between_recordings(exports: ExportedTiny, data_dir: Path) -> None:
    clips = join_recordings(data_dir, 3, bounds=loud)
    times = measure_word_times(exports.ct2_int8, clips)
    assert len(times.errors) == sum(len(clip.onsets) - 1 for clip in clips)
    assert np.isfinite(times.errors).all() and not (data_dir / "ran").exists()
