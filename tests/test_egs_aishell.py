"""AISHELL-1 from a replica of its archive: names, nesting and oddities of the real one, seconds of audio."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from egs_run import load_script, recipe_copy, run_corpus
from replica_files import recording, tar_gz
from replica_server import ReplicaServer, forget_proxies, serve

from utils.download.archives import safe_extract
from utils.download.corpus_archives import Places
from utils.errors import UserError

downloading = load_script("aishell", "download_aishell")
preparing = load_script("aishell", "prepare_aishell")

# A byte order mark, CRLF, full-width letters, two spaces, an utterance without audio.
TRANSCRIPTS = """\ufeffBAC009S0002W0122 而 对 楼市 成交 抑制 作用 最 大 的 限购\r
BAC009S0002W0123 也 成为 地方 政府 的 眼中 钉\r
BAC009S0003W0121 苹果  ａｐｐ ｓｔｏｒｅ 推出 后\r
BAC009S0724W0121 广州市 房地产 中介 协会 分析\r
BAC009S0764W0121 甚至 出现 交易 几乎 停滞 的 情况\r
BAC009S0764W0122 处于 调整 中\r
BAC009S0916W0495 没有 声音
"""
# Seconds by set, speaker and utterance; W0124 has no transcript.
AUDIO = {"train": {"S0002": {"0122": 1.6, "0123": 1.4, "0124": 0.5}, "S0003": {"0121": 1.2}},
         "dev": {"S0724": {"0121": 1.3}}, "test": {"S0764": {"0121": 1.5, "0122": 1.1}}}


def speaker_archives() -> dict[str, bytes]:
    """The archives in the archive, by path."""
    return {f"data_aishell/wav/{speaker}.tar.gz": tar_gz({
        f"{set_}/{speaker}/BAC009{speaker}W{number}.wav": recording(seconds, 200 + int(number))
        for number, seconds in utterances.items()})
        for set_, speakers in AUDIO.items() for speaker, utterances in speakers.items()}


@pytest.fixture(scope="module")
def archive() -> bytes:
    return tar_gz({"data_aishell/transcript/aishell_transcript_v0.8.txt": TRANSCRIPTS.encode(), **speaker_archives()})


@pytest.fixture
def server(archive: bytes, monkeypatch: pytest.MonkeyPatch) -> Iterator[ReplicaServer]:
    """A mirror of the replica, whose checksum is the published one for the length of a test."""
    forget_proxies(monkeypatch)
    replica = dataclasses.replace(downloading.ARCHIVE, n_bytes=len(archive), unpacked_bytes=10**6,
                                  checksum=hashlib.md5(archive).hexdigest())
    monkeypatch.setattr(downloading, "ARCHIVE", replica)
    with serve({replica.remote: archive}) as running:
        yield running


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def test_the_downloaded_archive_becomes_lists(server: ReplicaServer, tmp_path: Path) -> None:
    server.bytes_before_drop, server.ranges = [1000, 2000], False
    corpus = downloading.download_aishell(tmp_path / "dl", Places([server.url], remove_archives=True))
    assert corpus == tmp_path / "dl/data_aishell/data_aishell"
    assert not list(corpus.glob("wav/*.tar.gz"))
    preparing.prepare_aishell(tmp_path / "dl", tmp_path / "data")
    train = tmp_path / "data/train/transcribe"
    assert lines(train / "text") == ["BAC009S0002W0122|zh|transcribe 而对楼市成交抑制作用最大的限购",
                                     "BAC009S0002W0123|zh|transcribe 也成为地方政府的眼中钉",
                                     "BAC009S0003W0121|zh|transcribe 苹果app store推出后"]
    assert lines(train / "wav.scp")[2] == (
        f"BAC009S0003W0121|zh|transcribe {corpus / 'wav/train/S0003/BAC009S0003W0121.wav'}")
    assert lines(train / "utt2spk")[2] == "BAC009S0003W0121|zh|transcribe S0003"
    assert [len(lines(tmp_path / f"data/{name}/transcribe/text")) for name in ("dev", "test")] == [1, 2]
    assert lines(tmp_path / "data/aishell_left_out.tsv")[1:] == ["BAC009S0002W0124\tno transcript",
                                                                "BAC009S0916W0495\tno audio"]
    assert not (tmp_path / "data/train/translate").exists()
    asked = len(server.asked)
    downloading.download_aishell(tmp_path / "dl", Places([server.url]))
    assert len(server.asked) == asked  # what is unpacked is passed over


def test_translations_of_the_user_s_become_the_second_task(server: ReplicaServer, tmp_path: Path,
                                                          capsys: pytest.CaptureFixture[str]) -> None:
    downloading.download_aishell(tmp_path / "dl", Places([server.url]))
    english = tmp_path / "english.txt"
    english.write_text("\ufeffBAC009S0002W0122 Limits on \"purchases\"\r\n\r\nBAC009S9999W0001 Nobody\r\n", "utf-8")
    preparing.prepare_aishell(tmp_path / "dl", tmp_path / "data", english)
    assert lines(tmp_path / "data/train/translate/text") == [
        'BAC009S0002W0122|zh|translate Limits on "purchases"']
    assert "1 lines are of no utterance, for example BAC009S9999W0001" in capsys.readouterr().err
    for content, complaint in (("A one\nA two\n", r"english\.txt:2: A: a second line of this id"),
                               ("\nA\n", r"english\.txt:2: A: no text")):
        english.write_text(content, "utf-8")
        with pytest.raises(UserError, match=complaint):
            preparing.prepare_aishell(tmp_path / "dl", tmp_path / "data", english)
    with pytest.raises(UserError, match=r"absent\.txt: cannot be read"):
        preparing.prepare_aishell(tmp_path / "dl", tmp_path / "data", tmp_path / "absent.txt")


def test_an_interrupted_unpacking_continues_and_an_unpacked_corpus_is_found(archive: bytes, tmp_path: Path) -> None:
    (tmp_path / "replica.tgz").write_bytes(archive)
    mine = tmp_path / "dl"  # as Kaldi's recipe leaves it, but two speakers are still packed
    safe_extract(tmp_path / "replica.tgz", mine)
    for speaker in ("S0002", "S0764"):
        safe_extract(mine / f"data_aishell/wav/{speaker}.tar.gz", mine / "data_aishell/wav")
        (mine / f"data_aishell/wav/{speaker}.tar.gz").unlink()
    with pytest.raises(UserError, match=r"S0003\.tar\.gz: is not unpacked yet: \./run\.sh --stage 0"):
        preparing.prepare_aishell(mine, tmp_path / "data")
    assert downloading.download_aishell(mine, Places([])) == mine / "data_aishell"
    assert len(preparing.prepare_aishell(mine, tmp_path / "data")) == 6


def test_a_corpus_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"aishell_transcript_v0\.8\.txt.*: neither is there: download"):
        preparing.prepare_aishell(tmp_path, tmp_path / "data")


@pytest.mark.egs
def test_the_whole_recipe_runs_on_the_replica(archive: bytes, tiny_whisper: Path, tmp_path: Path) -> None:
    egs = recipe_copy(tmp_path / "my recipes", "aishell")
    (tmp_path / "replica.tgz").write_bytes(archive)
    safe_extract(tmp_path / "replica.tgz", egs / "download/aishell")  # the published checksum is not the replica's
    finished = run_corpus(egs, tiny_whisper, "--teacher", tiny_whisper, "--teacher-sets", "train test")
    assert finished.returncode == 0, finished.stderr
    assert "Traceback" not in finished.stderr
    record = json.loads((egs / "data/train/machine_made.json").read_text())
    # The teacher's nonsense is one word long: of the longest utterances that is too short.
    assert record["teacher"] == str(tiny_whisper) and (record["kept"], record["decoded"]) == (1, 3)
    report, html = ((egs / "exp/tiny" / name).read_text("utf-8") for name in ("RESULTS.md", "report.html"))
    assert "CER" in report and "BLEU" in report
    for text in (report, html):
        assert f"translations of train: machine-made by {tiny_whisper} (1 of 3 kept)" in text
        assert "MACHINE-MADE REFERENCES: translations of test" in text
    assert (egs / "exp/tiny/ct2_int8/model.bin").is_file()
