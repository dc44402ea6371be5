"""Downloads from a server with faults: dropped connections, errors, ignored ranges."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from replica_server import ReplicaServer, forget_proxies, serve

from utils.download import fetch as download
from utils.download.fetch import fetch
from utils.errors import UserError

CONTENT = bytes(range(256)) * 4000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


NAME = "some file.bin"


@pytest.fixture
def server() -> Iterator[ReplicaServer]:
    with serve({NAME: CONTENT}) as running:
        running.url += "/some%20file.bin"
        yield running


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    forget_proxies(monkeypatch)


def ranges(server: ReplicaServer) -> list[str | None]:
    return [wanted for _, wanted in server.asked]


def test_whole_file_arrives_once(server: ReplicaServer, tmp_path: Path) -> None:
    target = tmp_path / "with space" / "file.bin"
    fetch(server.url, target, SHA256)
    assert target.read_bytes() == CONTENT
    assert [path.name for path in target.parent.iterdir()] == ["file.bin"]
    fetch(server.url, target, SHA256)
    assert len(server.asked) == 1


def test_dropped_connections_continue_where_they_were(server: ReplicaServer, tmp_path: Path) -> None:
    server.bytes_before_drop = [100_000, 200_000, 0, 50_000, 0, 300_000, 0, 1000]  # more than 3 in all
    fetch(server.url, tmp_path / "file.bin", SHA256, attempts=3)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert len(server.asked) == 9
    assert ranges(server)[1] == "bytes=100000-"


def test_gives_up_when_nothing_new_arrives_and_continues_next_time(server: ReplicaServer, tmp_path: Path) -> None:
    server.bytes_before_drop = [100_000, 0, 0]
    with pytest.raises(UserError, match=r"broke 3 times in a row.*same command continues"):
        fetch(server.url, tmp_path / "file.bin", SHA256, attempts=3)
    assert not (tmp_path / "file.bin").exists()
    fetch(server.url, tmp_path / "file.bin", SHA256)
    assert ranges(server)[-1] == "bytes=100000-"
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_server_that_ignores_ranges_is_started_over(server: ReplicaServer, tmp_path: Path) -> None:
    server.ranges = False
    server.bytes_before_drop = [100_000]
    fetch(server.url, tmp_path / "file.bin", SHA256)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_server_that_always_drops_and_ignores_ranges_is_given_up(server: ReplicaServer, tmp_path: Path) -> None:
    server.ranges = False
    server.bytes_before_drop = [100_000] * 50
    with pytest.raises(UserError, match="broke 3 times"):
        fetch(server.url, tmp_path / "file.bin", SHA256, attempts=3)
    assert len(server.asked) == 3


def test_part_that_is_whole_already_is_taken(server: ReplicaServer, tmp_path: Path) -> None:
    (tmp_path / "file.bin.part").write_bytes(CONTENT)
    fetch(server.url, tmp_path / "file.bin", SHA256)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_part_of_a_longer_file_is_started_over(server: ReplicaServer, tmp_path: Path) -> None:
    (tmp_path / "file.bin.part").write_bytes(CONTENT + b"more")
    fetch(server.url, tmp_path / "file.bin", SHA256)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_wrong_content_is_not_kept(server: ReplicaServer, tmp_path: Path) -> None:
    server.files[NAME] = CONTENT[:-1] + b"x"
    with pytest.raises(UserError, match=f"not {SHA256}.*put it at {tmp_path / 'file.bin'}"):
        fetch(server.url, tmp_path / "file.bin", SHA256)
    assert list(tmp_path.iterdir()) == []
    server.files[NAME] = CONTENT
    fetch(server.url, tmp_path / "file.bin", SHA256)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_damaged_file_in_place_is_fetched_again(server: ReplicaServer, tmp_path: Path) -> None:
    (tmp_path / "file.bin").write_bytes(b"cut off")
    fetch(server.url, tmp_path / "file.bin", SHA256)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


@pytest.mark.parametrize("status", [404, 403, 500])
def test_refusal_is_reported_at_once(server: ReplicaServer, tmp_path: Path, status: int) -> None:
    server.statuses = [status]
    with pytest.raises(UserError, match=f"answers {status}.*put it at"):
        fetch(server.url, tmp_path / "file.bin")
    assert len(server.asked) == 1


def test_unreachable_host_is_reported_at_once(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound but not listening: refused
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/file.bin"
        with pytest.raises(UserError, match=r"cannot be reached.*put it at"):
            fetch(url, tmp_path / "file.bin")


def test_host_that_goes_away_is_waited_for(server: ReplicaServer, tmp_path: Path,
                                           monkeypatch: pytest.MonkeyPatch) -> None:
    server.bytes_before_drop = [100_000]
    waits: list[float] = []
    monkeypatch.setattr(download.time, "sleep", lambda seconds: (waits.append(seconds), server.close()))
    with pytest.raises(UserError, match=r"broke 4 times in a row .*refused.*same command continues.*put it at"):
        fetch(server.url, tmp_path / "file.bin", SHA256, attempts=4)
    assert waits == sorted(set(waits)) and len(waits) == 3  # each longer than the last
    assert (tmp_path / "file.bin.part").stat().st_size == 100_000


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/file", "no url", "http://"])
def test_nonsense_url_is_reported(tmp_path: Path, url: str) -> None:
    with pytest.raises(UserError, match=url):
        fetch(url, tmp_path / "file.bin")


def test_busy_server_is_asked_again(server: ReplicaServer, tmp_path: Path) -> None:
    server.statuses = [503, 429]
    fetch(server.url, tmp_path / "file.bin", SHA256)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    server.statuses = [503] * 9
    with pytest.raises(UserError, match=r"3 times in a row \(503 Service Unavailable\).*put it at"):
        fetch(server.url, tmp_path / "other.bin", attempts=3)


def test_next_mirror_continues_what_the_first_began(server: ReplicaServer, tmp_path: Path) -> None:
    server.bytes_before_drop = [100_000, 0, 0]
    with serve({"mirror": CONTENT}) as mirror:
        fetch([server.url, f"{mirror.url}/mirror"], tmp_path / "file.bin", SHA256, attempts=3)
        assert mirror.asked == [("mirror", "bytes=100000-")]
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_all_mirrors_that_fail_are_named(server: ReplicaServer, tmp_path: Path) -> None:
    server.files[NAME] = b"a page that says: log in first"
    with pytest.raises(UserError, match=f"SHA-256 is .*not {SHA256}.*; .*/other: the server answers 404.*put it at"):
        fetch([server.url, server.url.replace("some%20file.bin", "other")], tmp_path / "file.bin", SHA256)


def test_md5_is_known_by_its_length(server: ReplicaServer, tmp_path: Path) -> None:
    md5 = hashlib.md5(CONTENT).hexdigest()
    fetch(server.url, tmp_path / "file.bin", md5)
    with pytest.raises(UserError, match=f"its MD5 is {md5}, not {md5[::-1]}"):
        fetch(server.url, tmp_path / "other.bin", md5[::-1])
