"""Malicious and damaged archives are refused."""

from __future__ import annotations

import gzip
import io
import lzma
import tarfile
import warnings
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from utils.download import archives
from utils.download.archives import safe_extract, unpack
from utils.errors import UserError


def tar_of(path: Path, *members: tarfile.TarInfo, content: bytes = b"hello") -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for member in members:
            if member.isfile():
                member.size = len(content)
            archive.addfile(member, io.BytesIO(content) if member.isfile() else None)
    return path


def tar_member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "",
               mode: int = 0o644) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.mode = kind, link, mode
    return member


def test_tar_unpacks_files_and_directories(tmp_path: Path) -> None:
    members = (tar_member("digits", tarfile.DIRTYPE), tar_member("digits/1.g722"),
               tar_member("./top", mode=0o4777))
    safe_extract(tar_of(tmp_path / "a.tar.gz", *members), tmp_path / "out")
    assert (tmp_path / "out/digits/1.g722").read_bytes() == b"hello"
    assert (tmp_path / "out/top").stat().st_mode & 0o7111 == 0


@pytest.mark.parametrize("member", [
    tar_member("/etc/owned"), tar_member("../owned"), tar_member("a/../../owned"), tar_member("..\\owned"),
    tar_member("link", tarfile.SYMTYPE, "/etc"), tar_member("hard", tarfile.LNKTYPE, "good"),
    tar_member("fifo", tarfile.FIFOTYPE), tar_member("device", tarfile.CHRTYPE),
], ids=lambda member: member.name)
def test_tar_with_a_bad_member_is_refused_whole(tmp_path: Path, member: tarfile.TarInfo) -> None:
    archive = tar_of(tmp_path / "a.tar.gz", tar_member("good"), member)
    with pytest.raises(UserError, match="not unpacked"):
        unpack(archive, tmp_path / "in/out")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.tar.gz", "in"]


def test_zip_unpacks(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.whl", "w") as archive:
        archive.writestr("package/data/model.bin", b"hello")
    safe_extract(tmp_path / "a.whl", tmp_path / "out")
    assert (tmp_path / "out/package/data/model.bin").read_bytes() == b"hello"


@pytest.mark.parametrize("name", ["../owned", "/owned", "link"])
def test_zip_with_a_bad_member_is_refused_whole(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("good", b"hello")
        info = zipfile.ZipInfo(name)
        info.external_attr = (0o120777 if name == "link" else 0o100644) << 16
        archive.writestr(info, b"/etc")
    with pytest.raises(UserError, match="not unpacked"):
        unpack(tmp_path / "a.zip", tmp_path / "in/out")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.zip", "in"]


def test_archive_larger_than_allowed_is_refused(tmp_path: Path) -> None:
    archive = tar_of(tmp_path / "a.tar.gz", tar_member("zeros"), content=bytes(1_000_000))
    with pytest.raises(UserError, match="more than 999999 bytes"):
        unpack(archive, tmp_path / "out", max_bytes=999_999)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("suffix", ["tar", "tar.gz", "tar.bz2", "tar.xz"])
def test_damaged_archive_is_reported(tmp_path: Path, suffix: str) -> None:
    mode = "w:" + suffix.partition(".")[2]
    with tarfile.open(tmp_path / f"whole.{suffix}", mode) as archive:
        for number in range(3):
            member = tar_member(f"{number}")
            member.size = 20_000
            archive.addfile(member, io.BytesIO(bytes(range(250)) * 80))
    whole = (tmp_path / f"whole.{suffix}").read_bytes()
    unpack(tmp_path / f"whole.{suffix}", tmp_path / "good")
    assert sorted(path.name for path in (tmp_path / "good").iterdir()) == [".complete", "0", "1", "2"]
    half = len(whole) // 2
    damaged = {f"cut.{suffix}": whole[:half], f"page.{suffix}": b"<html>log in first</html>", f"empty.{suffix}": b"",
               f"flipped.{suffix}": whole[:20_480] + b"x" * 600 + whole[21_080:] if suffix == "tar"
               else whole[:half] + bytes([whole[half] ^ 1]) + whole[half + 1:]}
    for name, content in damaged.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=f"{name}: cannot be unpacked: .*delete it"):
            unpack(tmp_path / name, tmp_path / "bad")
        assert not (tmp_path / "bad").exists()
    with pytest.raises(UserError, match="absent is missing"):
        unpack(tmp_path / "absent", tmp_path / "bad")


def test_too_many_members_are_refused(tmp_path: Path) -> None:
    archive = tar_of(tmp_path / "a.tar.gz", *(tar_member(f"{number}") for number in range(6)))
    with pytest.raises(UserError, match="or 5 files"):
        unpack(archive, tmp_path / "out", max_members=5)
    assert not (tmp_path / "out").exists()


def test_a_bomb_is_stopped_before_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tar_of(tmp_path / "a.tar.gz", tar_member("zeros"), content=bytes(1_000_000))
    monkeypatch.setattr(archives, "free_bytes", lambda _path: (1 << 30) + 500_000)
    with pytest.raises(UserError, match="more than 500000 bytes"):
        unpack(archive, tmp_path / "out")


def test_what_is_unpacked_is_passed_over_and_what_is_not_whole_is_replaced(tmp_path: Path) -> None:
    archive = tar_of(tmp_path / "a.tar.gz", tar_member("good"))
    (tmp_path / "out").mkdir()
    (tmp_path / "out/half").touch()
    unpack(archive, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [".complete", "good"]
    archive.unlink()
    unpack(archive, tmp_path / "out")


def test_a_member_cannot_be_file_and_directory(tmp_path: Path) -> None:
    archive = tar_of(tmp_path / "a.tar.gz", tar_member("a"), tar_member("a/b"))
    with pytest.raises(UserError, match="cannot be unpacked"):
        unpack(archive, tmp_path / "out")


def test_a_header_or_an_end_of_gigabytes_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """tarfile reads pax headers and long names into memory, whatever their size; zeros after the end take hours."""
    monkeypatch.setattr(archives, "_MAX_HEADER", 1000)
    monkeypatch.setattr(archives, "_MAX_PADDING", 20_000)
    long = tar_of(tmp_path / "long.tar.gz", tar_member("x" * 240))
    unpack(long, tmp_path / "long")
    for name, member in (("pax", tar_member("good")), ("gnu", tar_member("y" * 2000))):
        member.pax_headers = {"comment": "x" * 2000} if name == "pax" else {}
        with tarfile.open(tmp_path / name, "w", format=tarfile.PAX_FORMAT if name == "pax" else
                          tarfile.GNU_FORMAT) as archive:
            archive.addfile(member, io.BytesIO())
        with pytest.raises(UserError, match=r"a header of 20\d\d bytes"):
            unpack(tmp_path / name, tmp_path / "out")
    whole = gzip.decompress(long.read_bytes())
    (tmp_path / "end.tar.gz").write_bytes(gzip.compress(whole + bytes(30_000)))
    with pytest.raises(UserError, match="data after its end"):
        unpack(tmp_path / "end.tar.gz", tmp_path / "out")


NAMES = st.lists(st.sampled_from(["a", "b", "..", ".", "", "/", "\\", "C:", "\n", "~", "-rf", "$(touch x)", "x" * 300,
                                  "a\0b", "é", "\udcff"]), min_size=1, max_size=4).map("/".join)
KINDS = [tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE,
         tarfile.CONTTYPE, b"9"]


@settings(max_examples=150, deadline=None)
@given(st.booleans(), st.lists(st.tuples(NAMES, st.sampled_from(KINDS)), max_size=4), st.binary(max_size=4),
       st.integers(0, 3000))
def test_nothing_of_any_archive_lands_outside(tmp_path_factory: pytest.TempPathFactory, is_zip: bool,
                                              members: list[tuple[str, bytes]], damage: bytes, place: int) -> None:
    """Whole or damaged, it is unpacked inside its directory, or refused and leaves nothing."""
    top = tmp_path_factory.mktemp("any")
    archive = top / "a.zip" if is_zip else tar_of(
        top / "a.tar.gz", *(tar_member(name, kind, "../../a.tar.gz") for name, kind in members))
    if is_zip:
        with warnings.catch_warnings(), zipfile.ZipFile(archive, "w") as opened:
            warnings.simplefilter("ignore")  # of duplicate names
            for name, kind in members:
                info = zipfile.ZipInfo(name.encode(errors="replace").decode() or "a")
                info.external_attr = (0o120777 if kind == tarfile.SYMTYPE else 0o100644) << 16
                opened.writestr(info, b"../../a.zip")
    content = archive.read_bytes()
    archive.write_bytes(content[:place] + damage + content[place + len(damage):])
    try:
        unpack(archive, top / "in/out")
    except UserError as error:
        assert str(archive) in str(error)
        assert sorted(path.name for path in top.rglob("*")) == sorted([archive.name, "in"])
    else:
        assert sorted(path.name for path in top.iterdir()) == sorted([archive.name, "in"])
        assert not any(path.is_symlink() for path in top.rglob("*"))


def test_xz_of_several_streams_is_read_to_its_end(tmp_path: Path) -> None:
    tar = gzip.decompress(tar_of(tmp_path / "a.tar.gz", tar_member("a"), tar_member("b")).read_bytes())
    archive = tmp_path / "a.tar.xz"
    archive.write_bytes(lzma.compress(tar[:700]) + bytes(8) + lzma.compress(tar[700:]) + bytes(4))
    safe_extract(archive, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a", "b"]
    archive.write_bytes(archive.read_bytes()[:-40])
    with pytest.raises(UserError, match=r"a\.tar\.xz: cannot be unpacked"):
        safe_extract(archive, tmp_path / "again")


def test_xz_that_asks_for_much_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "_MAX_XZ_MEMORY", 1 << 20)
    archive = tmp_path / "a.tar.xz"
    archive.write_bytes(lzma.compress(bytes(10_240)))  # preset 6: a dictionary of 8 MB
    with pytest.raises(UserError, match="Memory usage limit"):
        safe_extract(archive, tmp_path / "out")
