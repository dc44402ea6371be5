"""Files from the network, whole and verified, and archives unpacked without trusting them."""

from __future__ import annotations

import hashlib
import shutil
import stat
import tarfile
import time
import zipfile
from pathlib import Path, PurePosixPath

import httpx2 as httpx  # what huggingface_hub itself uses
from tqdm import tqdm

from utils.cli import log
from utils.errors import UserError

CONNECT_SECONDS = 5.0  # a host that is there answers sooner
READ_SECONDS = 30.0
ATTEMPTS = 4
CHUNK = 1 << 20
MAX_UNPACKED_BYTES = 20 << 30
MAX_MEMBERS = 200_000


def fetch(url: str, target: Path, sha256: str | None = None, *, attempts: int = ATTEMPTS) -> Path:
    """Download ``url`` to ``target``; a file of the right checksum already there is left as it is.

    What has arrived waits in ``target.part``, so that an interrupted download continues where it was, in the
    same run or the next. ``target`` appears only when it is whole and its checksum is right.

    Args:
        url: http or https; proxies come from the environment.
        target: where the file goes; its directory is made.
        sha256: the expected checksum in hex, or None to take the file as it comes.
        attempts: how often in a row the connection may break without anything new arriving. A host that
            cannot be reached, and a server that refuses, are not asked twice.

    Raises:
        UserError: not reachable, refused, kept dropping the connection, or wrong content; the message says
            where the file can be put by hand.
    """
    if target.is_file() and (sha256 is None or sha256_of(target) == sha256):
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    try:
        _receive_patiently(url, part, attempts)
        if sha256 is not None and (found := sha256_of(part)) != sha256:
            part.unlink()
            raise UserError(f"{url}: its SHA-256 is {found}, not {sha256}: not the file that is meant")
    except UserError as error:
        raise UserError(f"{error}; if you have the file, put it at {target}") from None
    part.replace(target)
    return target


def _receive_patiently(url: str, part: Path, attempts: int) -> None:
    """Fill ``part``, taking up a broken connection again as long as something new arrives."""
    most, failures = 0, 0
    while True:
        try:
            return _receive(url, part)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as error:
            raise UserError(f"{url}: cannot be reached ({_reason(error)})") from None
        except httpx.HTTPStatusError as error:
            answer = f"{error.response.status_code} {error.response.reason_phrase}"
            raise UserError(f"{url}: the server answers {answer}") from None
        except httpx.TransportError as error:
            have = part.stat().st_size if part.exists() else 0
            failures = 1 if have > most else failures + 1
            most = max(most, have)
            if failures >= attempts:
                raise UserError(f"{url}: the connection broke {failures} times in a row ({_reason(error)}); "
                                "the same command continues where it was") from None
            log(f"{part.stem}: {_reason(error)}; trying again")
            time.sleep(0.25 * 2**failures)
        except (httpx.InvalidURL, httpx.HTTPError) as error:
            raise UserError(f"{url}: {_reason(error)}") from None


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def safe_extract(archive: Path, directory: Path, max_bytes: int = MAX_UNPACKED_BYTES) -> None:
    """Unpack a tar (any compression) or zip archive into ``directory``; only files and directories come out.

    Owners and modes are not taken over. All members are judged before the first is written.

    Raises:
        UserError: no such archive, damaged, larger than ``max_bytes`` unpacked, or a member that is a link,
            a device, or would lie outside ``directory``.
    """
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as opened:
                _check_members(archive, [_zip_member(info) for info in opened.infolist()], max_bytes)
                opened.extractall(directory)
        else:
            with tarfile.open(archive) as opened:
                members = opened.getmembers()
                _check_members(archive, [(member.name, member.size, member.isfile() or member.isdir())
                                         for member in members], max_bytes)
                for member in members:
                    _write_tar_member(opened, member, directory)
    except FileNotFoundError:
        raise UserError(f"{archive} is missing") from None
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as error:
        raise UserError(f"{archive}: cannot be unpacked: {error}; delete it and run again") from None


def _receive(url: str, part: Path) -> None:
    """Append to ``part`` what it still lacks of ``url``; start over with a server that cannot continue."""
    have = part.stat().st_size if part.exists() else 0
    timeout = httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS)
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with httpx.stream("GET", url, headers=headers, timeout=timeout, follow_redirects=True) as response:
        if response.status_code == 416:  # nothing after what we have: it is whole, or it is another file
            if response.headers.get("Content-Range") == f"bytes */{have}":
                return
            part.unlink()
            raise httpx.ReadError("the file on the server is shorter than what had arrived; starting over")
        response.raise_for_status()
        continues = (response.status_code == 206
                     and response.headers.get("Content-Range", "").startswith(f"bytes {have}-"))
        have = have if continues else 0
        length = response.headers.get("Content-Length")
        total = have + int(length) if length else None
        with part.open("ab" if continues else "wb") as stream, tqdm(
                desc=part.stem, total=total, initial=have, unit="B", unit_scale=True, mininterval=1.0) as bar:
            for chunk in response.iter_raw():  # as it comes: a chunk size would keep the last part back
                stream.write(chunk)
                bar.update(len(chunk))


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__


def _check_members(archive: Path, members: list[tuple[str, int, bool]], max_bytes: int) -> None:
    """Refuse an archive by its list of (name, unpacked bytes, whether a plain file or directory)."""
    if len(members) > MAX_MEMBERS or sum(size for _, size, _ in members) > max_bytes:
        raise UserError(f"{archive}: not unpacked: more than {max_bytes} bytes or {MAX_MEMBERS} files")
    for name, _, plain in members:
        path = PurePosixPath(name.replace("\\", "/"))
        if not plain or path.is_absolute() or ".." in path.parts:
            raise UserError(f"{archive}: not unpacked: its member {name!r} is a link, a device or lies "
                            "outside the archive")


def _zip_member(info: zipfile.ZipInfo) -> tuple[str, int, bool]:
    kind = stat.S_IFMT(info.external_attr >> 16)
    return info.filename, info.file_size, kind in (0, stat.S_IFREG, stat.S_IFDIR)


def _write_tar_member(opened: tarfile.TarFile, member: tarfile.TarInfo, directory: Path) -> None:
    path = directory / member.name
    if member.isdir():
        path.mkdir(parents=True, exist_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    source = opened.extractfile(member)
    assert source is not None  # only plain files come here
    with source, path.open("wb") as stream:
        shutil.copyfileobj(source, stream, CHUNK)
