"""Stage 2: every key has features, whatever the number of jobs, and one matrix serves all keys of an audio file."""

from __future__ import annotations

import os
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import kaldiio
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from utils.audio.loading import load_audio
from utils.data.data_directory import MergeOptions, merge_task_lists, write_data_directory
from utils.data.lists import read_list, write_list
from utils.errors import UserError
from utils.features.ark import read_ark
from utils.features.feature_dump import COMPRESSION, combine_feats, dump_feats
from utils.features.log_mel import LogMel

MakeWav = Callable[..., Path]


@pytest.fixture
def log_mel(tiny_whisper: Path) -> LogMel:
    return LogMel(tiny_whisper)


@pytest.fixture
def data(tmp_path: Path, make_wav: MakeWav) -> Path:
    """Four audio files, two of them under two keys, in a directory with two spaces in its name."""
    wavs = [str(make_wav(f"wav  s/{i}.wav", 0.05 + 0.2 * i, rate=8000 * (i + 1))) for i in range(4)]
    items = {f"{i}|zh|transcribe": wav for i, wav in enumerate(wavs)}
    items |= {"1|zh|translate": wavs[1], "9|fr|translate": wavs[0]}
    write_list(tmp_path / "data" / "wav.scp", items, verbatim=True)
    return tmp_path / "data"


def dump(data: Path, target: Path, log_mel: LogMel, num_jobs: int, compression: str = "none") -> dict[str, str]:
    for job in range(1, num_jobs + 1):
        dump_feats(data, target, log_mel, job, num_jobs, compression=compression)
    assert combine_feats(data, target, num_jobs) == (6, 4)
    return read_list(target / "feats.scp", verbatim=True)


@pytest.mark.parametrize("num_jobs", [1, 3, 7])
def test_lists_and_features_do_not_depend_on_the_jobs(data: Path, log_mel: LogMel, tmp_path: Path,
                                                      num_jobs: int) -> None:
    target = tmp_path / "a  dump"
    scp = dump(data, target, log_mel, num_jobs)
    wavs = read_list(data / "wav.scp", verbatim=True)
    frames = read_list(target / "utt2num_frames")
    assert list(scp) == list(frames) == list(wavs)
    for key, place in scp.items():
        feats = read_ark(place, 80)
        assert np.array_equal(feats, log_mel(load_audio(wavs[key])))
        assert len(feats) == int(frames[key])
    assert {path.name for path in target.iterdir()} == {
        "feats.scp", "utt2num_frames", "utt2digest", *(f"feats.{job}.ark" for job in range(1, num_jobs + 1))}


def test_two_keys_of_one_audio_file_share_a_matrix(data: Path, log_mel: LogMel, tmp_path: Path) -> None:
    scp = dump(data, tmp_path / "dump", log_mel, 1)
    assert scp["1|zh|transcribe"] == scp["1|zh|translate"]
    assert scp["0|zh|transcribe"] == scp["9|fr|translate"]
    assert len(set(scp.values())) == 4
    assert len(dict(kaldiio.load_ark(str(tmp_path / "dump" / "feats.1.ark")))) == 4


@pytest.mark.parametrize("compression", [name for name in COMPRESSION if name != "none"])
def test_compressed_features_are_smaller_and_close(data: Path, log_mel: LogMel, tmp_path: Path,
                                                   compression: str) -> None:
    """One byte for a range of at most 2 (Whisper's clamp): steps of 0.008. Very short clips, too, must survive."""
    exact, small = (dump(data, tmp_path / name, log_mel, 1, name) for name in ("none", compression))
    sizes = [(tmp_path / name / "feats.1.ark").stat().st_size for name in ("none", compression)]
    assert sizes[1] < 0.6 * sizes[0]
    for key in exact:
        assert np.abs(read_ark(exact[key], 80) - read_ark(small[key], 80)).max() < 0.02


def test_digests_tell_features_apart_and_nothing_else(data: Path, log_mel: LogMel, tmp_path: Path) -> None:
    dumps = [("one", 1, "none"), ("three", 3, "none"), ("small", 1, "auto")]
    for name, jobs, compression in dumps:
        dump(data, tmp_path / name, log_mel, jobs, compression)
    one, three, small = (read_list(tmp_path / name / "utt2digest") for name, _, _ in dumps)
    assert one == three and len(set(one.values())) == 4 and one["0|zh|transcribe"] == one["9|fr|translate"]
    assert not set(one.values()) & set(small.values())


def test_only_what_an_interruption_left_undone_is_done_again(data: Path, log_mel: LogMel, tmp_path: Path) -> None:
    whole, target = tmp_path / "whole", tmp_path / "dump"
    dump(data, whole, log_mel, 2)
    for job in (1, 2):
        dump_feats(data, target, log_mel, job, 2)
    (target / "feats.2.scp").unlink()  # killed before its last file
    first, second = (target / f"feats.{job}.ark" for job in (1, 2))
    before = first.stat().st_mtime_ns, second.stat().st_mtime_ns
    for job in (1, 2):
        dump_feats(data, target, log_mel, job, 2, resume=True)
    assert first.stat().st_mtime_ns == before[0] and second.stat().st_mtime_ns > before[1]
    combine_feats(data, target, 2)
    assert all((target / path.name).read_bytes() == path.read_bytes() for path in whole.glob("*.ark"))
    # The same parts are not those of another number of jobs.
    dump_feats(data, target, log_mel, 1, 2)
    dump_feats(data, target, log_mel, 1, 1, resume=True)
    assert combine_feats(data, target, 1)[0] == 6 and not second.exists()


def test_a_job_that_failed_is_noticed(data: Path, log_mel: LogMel, tmp_path: Path) -> None:
    for job in (1, 3):
        dump_feats(data, tmp_path / "dump", log_mel, job, 3)
    with pytest.raises(UserError, match=r"utt2num_frames\.2: is missing.*stage 2 again"):
        combine_feats(data, tmp_path / "dump", 3)
    assert not (tmp_path / "dump" / "feats.scp").exists()


def test_parts_of_other_lists_are_noticed(data: Path, log_mel: LogMel, tmp_path: Path) -> None:
    dump_feats(data, tmp_path / "dump", log_mel, 1, 1)
    wavs = read_list(data / "wav.scp", verbatim=True)
    del wavs["9|fr|translate"]
    write_list(data / "wav.scp", wavs, verbatim=True)
    with pytest.raises(UserError, match=r"1 differ, the first: 9\|fr\|translate"):
        combine_feats(data, tmp_path / "dump", 1)


def test_overlong_audio_is_named_and_leaves_no_list(data: Path, log_mel: LogMel, tmp_path: Path,
                                                    make_wav: MakeWav) -> None:
    long = make_wav("long.wav", 30.01)
    write_list(data / "wav.scp", {"a|fr|translate": str(long)}, verbatim=True)
    with pytest.raises(UserError, match=r"wav\.scp: a\|fr\|translate: .*long\.wav: 480160 samples"):
        dump_feats(data, tmp_path / "dump", log_mel, 1, 1)
    assert list((tmp_path / "dump").iterdir()) == []


@pytest.fixture
def place(data: Path, log_mel: LogMel, tmp_path: Path) -> tuple[Path, int]:
    """An ark and the offset of its last matrix."""
    path, _, offset = max(dump(data, tmp_path / "dump", log_mel, 1).values()).rpartition(":")
    return Path(path), int(offset)


@pytest.mark.parametrize("cut", [1, 100, 20_000])
def test_a_cut_ark_is_refused(place: tuple[Path, int], cut: int) -> None:
    ark, offset = place
    ark.write_bytes(ark.read_bytes()[:-cut])
    with pytest.raises(UserError, match=rf"{ark.name}:{offset}: no feature matrix there .*stage 2"):
        read_ark(f"{ark}:{offset}", 80)


def test_what_is_no_matrix_of_the_model_is_refused(place: tuple[Path, int], tmp_path: Path) -> None:
    ark, offset = place
    vector = tmp_path / "vector.ark"
    kaldiio.save_ark(str(vector), {"a": np.zeros(80, np.float32)})
    for source, num_mels, complaint in [
        (f"{ark}:{offset}", 128, r"the model takes \(1 to 3000 frames, 128\)"),
        (f"{ark}:{offset + 1}", 80, "binary"),
        (f"{vector}:2", 80, "of type 'FV', not a matrix"),
        (str(ark), 80, "no feature matrix"),
        (f"{tmp_path}/none.ark:3", 80, "No such file"),
    ]:
        with pytest.raises(UserError, match=complaint):
            read_ark(source, num_mels)


def header(kind: bytes, *numbers: int) -> bytes:
    """An object of Kaldi's without its data: plain as float32, compressed with its range in front."""
    if kind.startswith(b"CM"):
        return b"\0B" + kind + b" " + struct.pack("<2f", 0, 1) + struct.pack(f"<{len(numbers)}i", *numbers)
    return b"\0B" + kind + b" " + b"".join(struct.pack("<bi", 4, number) for number in numbers)


@pytest.mark.parametrize("kind", [b"FM", b"DM", b"CM", b"CM2", b"CM3", b"FV", b"XX", b"F" * 5000])
@pytest.mark.parametrize("shape", [(2**31 - 1, 80), (80, 2**31 - 1), (-1, 80), (0, 80), (3001, 80), (3000, 80), (3, 0)])
def test_an_ark_that_claims_terabytes_costs_nothing(tmp_path: Path, kind: bytes, shape: tuple[int, int]) -> None:
    ark = tmp_path / "a.ark"
    ark.write_bytes(header(kind, *shape) + bytes(1000))
    tracemalloc.start()
    with pytest.raises(UserError, match=r"a\.ark:0: no feature matrix there .*stage 2"):
        read_ark(f"{ark}:0", 80)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 3_000_000  # a matrix of the largest size that is allowed has 0.96 MB, 1.92 MB in float64


@pytest.mark.parametrize("place", ["a.ark", "a.ark:", "a.ark:-5", "a.ark:x", "a.ark:0[0:10]", "a.ark:99999999999",
                                   ".:0", "/dev/zero:0", "pipe:0", "a\0b:0", "touch harm |", ":0", ""])
def test_places_that_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.ark").write_bytes(header(b"FM", 1, 80) + bytes(320))
    os.mkfifo("pipe")
    assert read_ark("a.ark:0", 80).shape == (1, 80)
    with pytest.raises(UserError, match="no feature matrix there"):
        read_ark(place, 80)
    assert not Path("harm").exists()


def test_features_of_nan_are_refused(tmp_path: Path) -> None:
    kaldiio.save_ark(str(tmp_path / "a.ark"), {"a": np.full((3, 80), np.nan, np.float32)})
    with pytest.raises(UserError, match="NaN"):
        read_ark(f"{tmp_path}/a.ark:2", 80)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([b"", *map(header, (b"FM", b"CM", b"CM2"), [2] * 3, [80] * 3)]),
       st.integers(-5, 250))
def test_any_bytes_are_a_matrix_or_a_clear_line(tmp_path_factory: pytest.TempPathFactory, content: bytes, head: bytes,
                                                offset: int) -> None:
    ark = tmp_path_factory.getbasetemp() / "any.ark"
    ark.write_bytes(head + content)
    try:
        assert read_ark(f"{ark}:{offset}", 80).shape[1] == 80
    except UserError as error:
        assert str(error).startswith(f"{ark}:{offset}: no feature matrix there")


def test_neither_commands_nor_pickles_in_an_scp_are_run(tmp_path: Path) -> None:
    """kaldiio itself would run both."""
    harm = tmp_path / "harm"
    (tmp_path / "a.ark").write_bytes(b"PKLcos\nmkdir\n(V" + str(harm).encode() + b"\ntR.")  # os.mkdir(harm)
    for source in (f"{tmp_path}/a.ark:0", f"mkdir '{harm}' |"):
        with pytest.raises(UserError, match="no feature matrix"):
            read_ark(source, 80)
    assert not harm.exists()


HOSTILE = ["../../owned", "-rf", "$(touch${IFS}ran)", "`touch`", ";touch", "a\\b", "<script>", "%s", "~", "*"]


def test_names_of_utterances_and_files_are_names_only(log_mel: LogMel, tmp_path: Path, make_wav: MakeWav,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    """Names are never run as commands, and only the recipe's own files are written."""
    monkeypatch.chdir(tmp_path)
    wav = make_wav("wav/good.wav")
    for number, name in enumerate(HOSTILE):
        audio = wav.with_name(f"{number}{name.replace('/', '_')};touch ran #.wav")
        audio.write_bytes(wav.read_bytes())
        for task in ("transcribe", "translate"):
            Path("data", task).mkdir(parents=True, exist_ok=True)
            for file, value in (("wav.scp", audio), ("text", name)):
                with Path("data", task, file).open("a", encoding="utf-8") as stream:
                    stream.write(f"{name}|fr|{task} {value}\n")
    merged = merge_task_lists(Path("data"), MergeOptions())
    write_data_directory(Path("data"), merged)
    dump_feats(Path("data"), Path("dump"), log_mel, 1, 1)
    n_keys, n_matrices = combine_feats(Path("data"), Path("dump"), 1)
    assert n_keys == len(merged.text) == 2 * n_matrices > 10
    for place in read_list("dump/feats.scp", verbatim=True).values():
        assert len(read_ark(place, 80)) > 40
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "dump", "wav"]
    assert sorted(path.name for path in Path("dump").iterdir()) == ["feats.1.ark", "feats.scp", "utt2digest",
                                                               "utt2num_frames"]


def test_bad_audio_is_named_with_its_list_and_key(data: Path, log_mel: LogMel, tmp_path: Path) -> None:
    wavs = read_list(data / "wav.scp", verbatim=True)
    Path(wavs["2|zh|transcribe"]).write_bytes(b"RIFF")
    with pytest.raises(UserError, match=r"wav\.scp: 2\|zh\|transcribe: .*2\.wav: is damaged, or no audio"):
        dump_feats(data, tmp_path / "dump", log_mel, 1, 1)


def test_audio_that_cannot_be_speech_is_named_counted_and_kept(log_mel: LogMel, tmp_path: Path,
                                                               capsys: pytest.CaptureFixture[str]) -> None:
    noise = np.random.default_rng(0).standard_normal(16_000) * 0.1
    sounds = {"fine": noise, "silent": 0 * noise, "clipped": np.clip(noise * 20, -0.5, 0.5)}
    for name, samples in sounds.items():
        soundfile.write(tmp_path / f"{name}.wav", samples, 16_000)
    wavs = {f"{name}|fr|{task}": str(tmp_path / f"{name}.wav")
            for name in sounds for task in ("transcribe", "translate")}
    write_list(tmp_path / "data/wav.scp", wavs, verbatim=True)
    for num_jobs in (2, 1):
        for job in range(1, num_jobs + 1):
            dump_feats(tmp_path / "data", tmp_path / "dump", log_mel, job, num_jobs)
        assert combine_feats(tmp_path / "data", tmp_path / "dump", num_jobs) == (6, 3)
        warning = capsys.readouterr().err
        assert "4 of 6 targets have audio that cannot be speech" in warning
        assert f"{tmp_path}/silent.wav: digital silence" in warning
        named = read_list(tmp_path / "dump/unlike_speech")
        assert sorted({key.split("|")[0] for key in named}) == ["clipped", "silent"] and len(named) == 4
        assert not list((tmp_path / "dump").glob("unlike_speech.*"))
