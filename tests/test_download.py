"""Downloads from a server that misbehaves, and archives that must not be trusted."""

from __future__ import annotations

import hashlib
import io
import socket
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from utils import download
from utils.download import fetch, safe_extract
from utils.errors import UserError

CONTENT = bytes(range(256)) * 4000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Server:
    """What the loopback server does, and what it was asked."""

    url: str = ""
    content: bytes = CONTENT
    ranges: bool = True
    status: int = 200
    bytes_before_drop: list[int] = field(default_factory=list)  # for each coming request; then whole answers
    asked: list[str | None] = field(default_factory=list)  # the Range header of each request


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            state.asked.append(wanted)
            if state.status != 200:
                self.send_error(state.status)
                return
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and state.ranges else 0
            size = len(state.content)
            if start >= size:
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{size}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
            self.send_header("Content-Length", str(size - start))
            self.end_headers()
            limit = state.bytes_before_drop.pop(0) if state.bytes_before_drop else size
            self.wfile.write(state.content[start:][:limit])

        def log_message(self, *_args: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, args=(0.01,))
    thread.start()
    state.url = f"http://127.0.0.1:{http.server_address[1]}/some%20file.bin"
    yield state
    http.shutdown()
    thread.join()
    http.server_close()


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download.time, "sleep", lambda _seconds: None)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


def test_whole_file_arrives_once(server: Server, tmp_path: Path) -> None:
    target = tmp_path / "with space" / "file.bin"
    fetch(server.url, target, SHA256)
    assert target.read_bytes() == CONTENT
    assert [path.name for path in target.parent.iterdir()] == ["file.bin"]
    fetch(server.url, target, SHA256)
    assert len(server.asked) == 1


def test_dropped_connections_continue_where_they_were(server: Server, tmp_path: Path) -> None:
    server.bytes_before_drop = [100_000, 200_000, 0, 50_000, 0, 300_000, 0, 1000]  # more than 3 in all
    fetch(server.url, tmp_path / "file.bin", SHA256, attempts=3)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert len(server.asked) == 9
    assert server.asked[1] == "bytes=100000-"


def test_gives_up_when_nothing_new_arrives_and_continues_next_time(server: Server, tmp_path: Path) -> None:
    server.bytes_before_drop = [100_000, 0, 0]
    with pytest.raises(UserError, match=r"broke 3 times in a row.*same command continues"):
        fetch(server.url, tmp_path / "file.bin", SHA256, attempts=3)
    assert not (tmp_path / "file.bin").exists()
    fetch(server.url, tmp_path / "file.bin", SHA256)
    assert server.asked[-1] == "bytes=100000-"
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_server_that_ignores_ranges_is_started_over(server: Server, tmp_path: Path) -> None:
    server.ranges = False
    server.bytes_before_drop = [100_000]
    fetch(server.url, tmp_path / "file.bin", SHA256)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_server_that_always_drops_and_ignores_ranges_is_given_up(server: Server, tmp_path: Path) -> None:
    server.ranges = False
    server.bytes_before_drop = [100_000] * 50
    with pytest.raises(UserError, match="broke 3 times"):
        fetch(server.url, tmp_path / "file.bin", SHA256, attempts=3)
    assert len(server.asked) == 3


def test_part_that_is_whole_already_is_taken(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.bin.part").write_bytes(CONTENT)
    fetch(server.url, tmp_path / "file.bin", SHA256)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_part_of_a_longer_file_is_started_over(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.bin.part").write_bytes(CONTENT + b"more")
    fetch(server.url, tmp_path / "file.bin", SHA256)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_wrong_content_is_not_kept(server: Server, tmp_path: Path) -> None:
    server.content = CONTENT[:-1] + b"x"
    with pytest.raises(UserError, match=f"not {SHA256}.*put it at {tmp_path / 'file.bin'}"):
        fetch(server.url, tmp_path / "file.bin", SHA256)
    assert list(tmp_path.iterdir()) == []
    server.content = CONTENT
    fetch(server.url, tmp_path / "file.bin", SHA256)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_damaged_file_in_place_is_fetched_again(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.bin").write_bytes(b"cut off")
    fetch(server.url, tmp_path / "file.bin", SHA256)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


@pytest.mark.parametrize("status", [404, 403, 500])
def test_refusal_is_reported_at_once(server: Server, tmp_path: Path, status: int) -> None:
    server.status = status
    with pytest.raises(UserError, match=f"answers {status}.*put it at"):
        fetch(server.url, tmp_path / "file.bin")
    assert len(server.asked) == 1


def test_unreachable_host_is_reported_at_once(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound but not listening: refused
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/file.bin"
        with pytest.raises(UserError, match=r"cannot be reached.*put it at"):
            fetch(url, tmp_path / "file.bin")


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/file", "no url", "http://"])
def test_nonsense_url_is_reported(tmp_path: Path, url: str) -> None:
    with pytest.raises(UserError, match=url):
        fetch(url, tmp_path / "file.bin")


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
        safe_extract(archive, tmp_path / "in/out")
    assert [path.name for path in tmp_path.rglob("*")] == ["a.tar.gz"]


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
        safe_extract(tmp_path / "a.zip", tmp_path / "in/out")
    assert [path.name for path in tmp_path.rglob("*")] == ["a.zip"]


def test_archive_larger_than_allowed_is_refused(tmp_path: Path) -> None:
    archive = tar_of(tmp_path / "a.tar.gz", tar_member("zeros"), content=bytes(1_000_000))
    with pytest.raises(UserError, match="more than 999999 bytes"):
        safe_extract(archive, tmp_path / "out", max_bytes=999_999)
    assert not (tmp_path / "out").exists()


def test_damaged_archive_is_reported(tmp_path: Path) -> None:
    whole = tar_of(tmp_path / "a.tar.gz", tar_member("good"), content=bytes(range(256)) * 100).read_bytes()
    (tmp_path / "cut.tar.gz").write_bytes(whole[:len(whole) // 2])
    for name in ("cut.tar.gz", "absent.tar.gz"):
        with pytest.raises(UserError, match=name):
            safe_extract(tmp_path / name, tmp_path / "out")
