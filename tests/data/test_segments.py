"""Recordings with Kaldi's segments, from task lists to features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from made_speech import RATE, speak

from utils.audio.loading import audio_seconds, load_audio, load_parts
from utils.audio.sources import part_source, split_part
from utils.data.corpus_lists import CorpusUtterance, write_lists
from utils.data.data_directory import MergeOptions, merge_task_lists, write_data_directory
from utils.data.lists import read_list
from utils.data.long_sets import write_long_set
from utils.data.segments import read_recordings, read_sources
from utils.errors import UserError
from utils.features.ark import read_ark
from utils.features.feature_dump import combine_feats, dump_feats
from utils.features.log_mel import LogMel
from utils.teacher.labels import untranslated, write_translations

TEXT = "talk-1|fr|{task} first\ntalk-2|fr|{task} second\nlater-1|fr|{task} third\n"
SEGMENTS = "talk-1|fr|{task} talk 0.5 2\ntalk-2|fr|{task} talk 40.25 42.5\n\nlater-1|fr|{task} later 1 3.1\n"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A set of two recordings, of 45 and 4 s, with segments of both tasks."""
    directory = tmp_path / "data/train"
    soundfile.write(tmp_path / "talk.flac", speak(45), RATE)
    soundfile.write(tmp_path / "later.wav", speak(4, seed=1), RATE)
    for task in ("transcribe", "translate"):
        write_task(directory / task, TEXT.format(task=task), SEGMENTS.format(task=task))
    return directory


def write_task(directory: Path, text: str, segments: str) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "text").write_text(text)
    (directory / "segments").write_text(segments)
    top = directory.parents[2]
    (directory / "wav.scp").write_text(f"talk {top}/talk.flac\nlater {top}/later.wav\n")


def merge(data: Path, **options: object) -> None:
    write_data_directory(data, merge_task_lists(data, MergeOptions(**options)))  # type: ignore[arg-type]


def test_segments_are_merged_as_kaldi_has_them(data: Path) -> None:
    merge(data)
    assert (data / "wav.scp").read_text().split() == ["later", f"{data.parents[1]}/later.wav", "talk",
                                                      f"{data.parents[1]}/talk.flac"]
    segments = (data / "segments").read_text().splitlines()
    assert segments[1] == "later-1|fr|translate later 1 3.1"
    assert segments == sorted(segments)
    assert read_list(data / "segments").keys() == read_list(data / "text").keys() == read_list(data / "utt2dur").keys()
    assert read_list(data / "utt2dur")["talk-2|fr|transcribe"] == "2.250"


def test_a_set_without_segments_any_more_loses_them(data: Path) -> None:
    merge(data)
    for task in ("transcribe", "translate"):
        (data / task / "segments").unlink()
        (data / task / "wav.scp").write_text(f"later-1|fr|{task} {data.parents[1]}/later.wav\n")
        (data / task / "text").write_text(f"later-1|fr|{task} third\n")
    merge(data)
    assert not (data / "segments").exists()
    assert read_sources(data / "wav.scp")["later-1|fr|translate"].endswith("later.wav")


def test_features_are_those_of_the_cut_audio(data: Path, tiny_whisper: Path, tmp_path: Path) -> None:
    merge(data)
    log_mel = LogMel(tiny_whisper)
    for job in (1, 2):
        dump_feats(data, tmp_path, log_mel, job, 2)
    assert combine_feats(data, tmp_path, 2) == (6, 3)
    samples, _ = soundfile.read(data.parents[1] / "talk.flac", dtype="float32")
    feats = read_ark(read_list(tmp_path / "feats.scp", verbatim=True)["talk-2|fr|translate"], log_mel.num_mels)
    assert np.array_equal(feats, log_mel(samples[round(40.25 * RATE):round(42.5 * RATE)]))


@pytest.mark.parametrize(("name", "rate"), [("a.wav", 16_000), ("a.flac", 44_100), ("a.ogg", 48_000), ("a.mp3", 22_050),
                                            ("a.m4a", 44_100)])
def test_parts_are_those_of_the_whole_recording(tmp_path: Path, name: str, rate: int) -> None:
    path = tmp_path / name
    write_audio(path, resampled(speak(8), rate), rate)
    whole = load_audio(str(path))
    spans = [(0.0, 1.0), (0.5, 2.25), (0.8, 1.0), (6.0, 7.0)]
    for (start, end), part in zip(spans, load_parts(str(path), spans), strict=True):
        expected = whole[round(start * RATE):round(end * RATE)]
        assert abs(len(part) - len(expected)) <= 1
        middle = slice(400, len(expected) - 400)  # a resampler rings at the ends of what it is given
        assert np.abs(part[:len(expected)] - expected[:len(part)])[middle].max() < 0.02
        assert np.array_equal(part, load_audio(part_source(str(path), start, end)))


def resampled(samples: np.ndarray, rate: int) -> np.ndarray:
    import soxr

    return soxr.resample(samples, RATE, rate)


def write_audio(path: Path, samples: np.ndarray, rate: int) -> None:
    if path.suffix != ".m4a":
        soundfile.write(path, samples, rate)
        return
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=rate, layout="mono")
        for first in range(0, len(samples), 1024):
            frame = av.AudioFrame.from_ndarray(samples[np.newaxis, first:first + 1024], format="fltp", layout="mono")
            frame.sample_rate = rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def test_a_part_ends_with_its_recording(data: Path) -> None:
    later = str(data.parents[1] / "later.wav")
    assert audio_seconds(f"{later}[3:4.4]") == pytest.approx(1)
    assert len(load_audio(f"{later}[3:4.4]")) == RATE
    for read in (audio_seconds, load_audio):
        with pytest.raises(UserError, match=r"later.wav\[3:4.6\]: is not in its recording, which has 4.00 s"):
            read(f"{later}[3:4.6]")


def test_a_file_with_brackets_in_its_name_is_a_file(tmp_path: Path) -> None:
    path = tmp_path / "take[1:2]"
    path.write_bytes(b"")
    assert split_part(str(path)) is None
    assert split_part(str(tmp_path / "other[1:2]")) == (str(tmp_path / "other"), 1.0, 2.0)


@pytest.mark.parametrize(("line", "complaint"), [
    ("talk-1|fr|translate talk 2 1.5", r"translate/segments:4: talk-1\|fr\|translate: starts at 2 and ends at 1.5 s"),
    ("talk-1|fr|translate other 0 2", r"segments:4: .*its recording other is not in .*translate/wav.scp"),
    ("talk-1|fr|translate later 1 5", r"segments:4: .*later.wav\[1:5\]: is not in its recording, which has 4.00 s"),
    ("talk-1|fr|translate talk 1 40", r"segments:4: .*talk.flac\[1:40\]: 39.00 s are more than --max-seconds 30"),
    ("talk-1|fr|translate talk 1 1.001", r"segments:4: .*are less than one frame"),
])
def test_a_bad_segment_is_named_with_file_and_line(data: Path, line: str, complaint: str) -> None:
    lines = SEGMENTS.format(task="translate").splitlines()[1:]
    (data / "translate/segments").write_text("\n".join([*lines, line]))
    with pytest.raises(UserError, match=complaint):
        merge(data)
    merge(data, skip_bad=True)
    assert "talk-1|fr|translate" not in read_list(data / "segments")
    assert len(read_list(data / "segments")) == 5


def test_segments_of_one_task_only_are_refused(data: Path) -> None:
    (data / "translate/segments").unlink()
    with pytest.raises(UserError, match="translate/segments: is missing, but another task has one"):
        merge(data)


def test_one_name_for_two_recordings_is_refused(data: Path) -> None:
    (data / "translate/wav.scp").write_text(f"talk {data.parents[1]}/later.wav\nlater {data.parents[1]}/later.wav\n")
    with pytest.raises(UserError, match=r"translate/wav.scp: talk is .*later.wav, but .*talk.flac in another task"):
        merge(data, skip_bad=True)


def test_a_corpus_of_recordings_is_written_with_segments(data: Path, tmp_path: Path) -> None:
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        soundfile.write(tmp_path / place / "my talk.wav", speak(5), RATE)
    utterances = [CorpusUtterance("test", f"s-{place}", "fr", tmp_path / place / "my talk.wav",
                                  {"transcribe": "un", "translate": "one"}, "s", 0.25, 1.5) for place in ("a", "b")]
    write_lists("made", utterances, [], tmp_path / "lists", ["test"])
    merge(tmp_path / "lists/test")
    assert read_recordings(tmp_path / "lists/test/wav.scp") == {
        f"{place}_my_talk": str(tmp_path / place / "my talk.wav") for place in ("a", "b")}
    assert read_list(tmp_path / "lists/test/segments")["s-b|fr|translate"] == "b_my_talk 0.25 1.5"


def test_a_teacher_translates_segments(data: Path) -> None:
    for path in (data / "translate").iterdir():
        path.unlink()
    wanted = untranslated(data)
    write_translations(data, wanted, {"talk-2|fr|translate": "two"}, {"teacher": "made", "kept": 1, "human": 0})
    merge(data)
    assert read_list(data / "segments")["talk-2|fr|translate"] == "talk 40.25 42.5"
    assert read_recordings(data / "translate/wav.scp").keys() == {"talk"}


def test_the_long_set_of_a_set_with_recordings_has_these(data: Path, tmp_path: Path) -> None:
    merge(data)
    assert write_long_set(data, tmp_path / "long", seconds=100, per_language=1) == 1
    assert read_recordings(tmp_path / "long/wav.scp") == {"later": str(data.parents[1] / "later.wav")}
    assert read_list(tmp_path / "long/segments") == {
        f"later-1|fr|{task}": "later 1 3.1" for task in ("transcribe", "translate")}
    assert read_list(tmp_path / "long/text")["later-1|fr|transcribe"] == "third"


def test_features_name_the_key_of_the_segment_that_is_not_in_its_recording(data: Path, tiny_whisper: Path,
                                                                           tmp_path: Path) -> None:
    merge(data)
    later = (data / "segments").read_text().replace("talk 40.25 42.5", "talk 60 61")
    (data / "segments").write_text(later)
    with pytest.raises(UserError, match=r"talk-2\|fr\|transcribe: .*talk.flac\[60:61\]: is not in .* has 45.00 s"):
        dump_feats(data, tmp_path, LogMel(tiny_whisper), 1, 1)


def test_a_part_of_raw_g722_is_read_as_such(tmp_path: Path) -> None:
    path = tmp_path / "call.g722"
    path.write_bytes(bytes(range(256)) * 125)  # 4 s
    assert np.allclose(load_audio(f"{path}[1:2]"), load_audio(str(path))[RATE:2 * RATE])
