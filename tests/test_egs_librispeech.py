"""LibriSpeech from a replica of its archives: names, nesting and oddities of the real ones, a second of speech."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from egs_run import load_script, recipe_copy, run_corpus
from replica_files import recording, tar_gz
from replica_server import ReplicaServer, forget_proxies, serve

from utils.download.archives import safe_extract
from utils.download.corpus_archives import Places
from utils.errors import UserError

downloading = load_script("librispeech", "download_librispeech")
preparing = load_script("librispeech", "prepare_librispeech")
SETS = {"train": ["train-clean-5"], "dev": ["dev-clean-2"], "test": ["test-clean"]}


def part_archive(part: str, chapters: dict[str, tuple[str, dict[str, float]]]) -> bytes:
    """A part's tar.gz: of each chapter (SPEAKER-CHAPTER) the transcripts and the seconds of each utterance."""
    files = {"LibriSpeech/README.TXT": b"read me", "LibriSpeech/SPEAKERS.TXT": b"; a table\r\n"}
    for chapter, (transcripts, audio) in chapters.items():
        place = f"LibriSpeech/{part}/{chapter.replace('-', '/')}"
        files[f"{place}/{chapter}.trans.txt"] = transcripts.encode()
        files |= {f"{place}/{chapter}-{number}.flac": recording(seconds, format="FLAC")
                  for number, seconds in audio.items()}
    return tar_gz(files)


@pytest.fixture(scope="module")
def archives() -> dict[str, bytes]:
    """The mini set and test-clean, by part."""
    return {
        "train-clean-5": part_archive("train-clean-5", {
            "1088-134315": ("1088-134315-0000 AS YOU KNOW IT'S\n1088-134315-0001 GONE WITH THE FILE\n"
                            "1088-134315-0003 TOO LONG\n", {"0000": 0.5, "0002": 0.2, "0003": 30.1}),
            "26-495": ("26-495-0000 COURAGE\n26-495-0001 ON\n", {"0000": 0.4, "0001": 0.4})}),
        "dev-clean-2": part_archive("dev-clean-2", {
            "1272-128104": ("\ufeff1272-128104-0000 MISTER QUILTER\r\n1272-128104-0001 \r\n",
                            {"0000": 0.4, "0001": 0.2})}),
        "test-clean": part_archive("test-clean", {"1089-134686": ("1089-134686-0000 HE HOPED\n", {"0000": 0.4})}),
    }


@pytest.fixture
def server(archives: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Iterator[ReplicaServer]:
    """A mirror of the replica, whose checksums are the published ones for the length of a test."""
    forget_proxies(monkeypatch)
    parts = {part: dataclasses.replace(archive, checksum=hashlib.md5(archives[part]).hexdigest())
             for part, archive in downloading.PARTS.items() if part in archives}
    monkeypatch.setattr(downloading, "PARTS", downloading.PARTS | parts)
    with serve({downloading.PARTS[part].remote: content for part, content in archives.items()}) as running:
        yield running


def test_downloaded_parts_become_lists(server: ReplicaServer, tmp_path: Path) -> None:
    server.bytes_before_drop, server.ranges = [1000, 2000], False
    downloading.download_librispeech(tmp_path / "dl", downloading.MINI, Places([f"{server.url}/"]))
    preparing.prepare_librispeech(tmp_path / "dl", tmp_path / "data", SETS)
    train = tmp_path / "data/train/transcribe"
    assert (train / "text").read_text() == ("1088-134315-0000|en|transcribe as you know it's\n"
                                            "26-495-0000|en|transcribe courage\n26-495-0001|en|transcribe on\n")
    assert (train / "utt2spk").read_text().splitlines()[1] == "26-495-0000|en|transcribe 26"
    audio = tmp_path / "dl/train-clean-5/LibriSpeech/train-clean-5/26/495/26-495-0001.flac"
    assert (train / "wav.scp").read_text().splitlines()[2] == f"26-495-0001|en|transcribe {audio}"
    assert (tmp_path / "data/dev/transcribe/text").read_text() == "1272-128104-0000|en|transcribe mister quilter\n"
    assert not (tmp_path / "data/train/translate").exists()
    assert sorted((tmp_path / "data/librispeech_left_out.tsv").read_text().splitlines()[1:]) == [
        "1088-134315-0001\tno audio", "1088-134315-0002\tno transcript", "1088-134315-0003\tlonger than 30 s",
        "1272-128104-0001\tno text"]
    asked = len(server.asked)
    downloading.download_librispeech(tmp_path / "dl", downloading.MINI, Places([server.url]))
    assert len(server.asked) == asked  # what is unpacked is passed over


def test_wrong_bytes_are_refused_and_own_archives_taken(server: ReplicaServer, archives: dict[str, bytes],
                                                        tmp_path: Path) -> None:
    server.files["12/test-clean.tar.gz"] = b"not the archive"
    with pytest.raises(UserError, match=r"test-clean.tar.gz: its MD5 is .*put it at .*dl/test-clean.tar.gz"):
        downloading.download_librispeech(tmp_path / "dl", ["test-clean"], Places([server.url]))
    assert list((tmp_path / "dl").iterdir()) == []
    own = tmp_path / "test-clean.tar.gz"
    own.write_bytes(archives["test-clean"])
    server.files.clear()
    downloading.download_librispeech(tmp_path / "dl", ["test-clean"], Places([server.url], [own]))
    downloading.download_librispeech(tmp_path / "dl2", ["test-clean"], Places([server.url], [tmp_path]))
    assert [path.name for path in (tmp_path / "dl").iterdir()] == ["test-clean"]
    with pytest.raises(UserError, match=r"--archive .*dl: neither .* nor a directory with one: dev-clean-2.tar.gz"):
        downloading.download_librispeech(tmp_path / "dl", ["dev-clean-2"], Places([server.url], [tmp_path / "dl"]))
    own.write_bytes(archives["dev-clean-2"])
    with pytest.raises(UserError, match=r"test-clean.tar.gz: its checksum is not"):
        downloading.download_librispeech(tmp_path / "dl3", ["test-clean"], Places([server.url], [own]))


def test_an_unpacked_corpus_is_found(server: ReplicaServer, tmp_path: Path) -> None:
    downloading.download_librispeech(tmp_path / "dl", ["test-clean"], Places([server.url], remove_archives=True))
    assert not (tmp_path / "dl/test-clean.tar.gz").exists()
    mine = tmp_path / "dl/test-clean"  # holds LibriSpeech/test-clean, as everybody's /corpora does
    server.files.clear()
    downloading.download_librispeech(mine, ["test-clean"], Places([server.url]))
    assert downloading.part_directory(mine, "test-clean") == mine / "LibriSpeech/test-clean"


def test_too_little_room_is_said_before_anything_is_fetched(server: ReplicaServer, tmp_path: Path,
                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("utils.filesystem.free_bytes", lambda _path: 10**9)
    with pytest.raises(UserError, match=r"dl: downloading and unpacking 1 archives needs 12.8 GB, the disk has 1.0 GB"):
        downloading.download_librispeech(tmp_path / "dl", ["train-clean-100"], Places([server.url]))
    assert server.asked == []


def test_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--parts train-clean: LibriSpeech has train-clean-5 .*train-other-500"):
        downloading.download_librispeech(tmp_path, ["train-clean"], Places([]))
    with pytest.raises(UserError, match="--parts dev-clean-2"):
        preparing.prepare_librispeech(tmp_path, tmp_path / "data", {"dev": ["dev-clean-2"]})
    for option in ("dev", "=dev-clean", "dev=dev-clean+x"):
        with pytest.raises(UserError, match="write NAME=PART"):
            preparing.parse_sets(option)
    assert preparing.parse_sets("a=dev-clean+dev-other,b=test-clean") == {"a": ["dev-clean", "dev-other"],
                                                                         "b": ["test-clean"]}


@pytest.mark.egs
def test_the_whole_recipe_runs_on_the_replica(archives: dict[str, bytes], tiny_whisper: Path, tmp_path: Path) -> None:
    egs = recipe_copy(tmp_path / "my recipes", "librispeech")
    for part, content in archives.items():  # as if unpacked before: published checksums are not the replica's
        archive = tmp_path / f"{part}.tar.gz"
        archive.write_bytes(content)
        safe_extract(archive, egs / "download/librispeech")
    finished = run_corpus(egs, tiny_whisper, "--prepare-args", f"--sets '{preparing.MINI}'")
    assert finished.returncode == 0, finished.stderr
    report = (egs / "exp/tiny/RESULTS.md").read_text(encoding="utf-8")
    assert "| WER " in report and "| BLEU " not in report
    assert "Stage 5" in finished.stderr and (egs / "exp/tiny/ct2_int8/model.bin").is_file()
