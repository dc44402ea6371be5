"""Downloads files completely and verifies their checksums."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import httpx2 as httpx  # the client of huggingface_hub
from tqdm import tqdm

from utils.cli import log
from utils.errors import UserError
from utils.filesystem import checksum_of

CONNECT_SECONDS = 5.0  # a host that is up answers sooner
READ_SECONDS = 30.0
ATTEMPTS = 5
MAX_WAIT_SECONDS = 60.0
BUSY = (429, 502, 503, 504)  # answers after which a second request may succeed
UNREACHABLE = (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError, httpx.UnsupportedProtocol)


def fetch(urls: str | Sequence[str], target: Path, checksum: str | None = None, *, attempts: int = ATTEMPTS) -> Path:
    """Download the file at ``urls`` to ``target``, unless it is there with the right checksum; return ``target``.

    The data are written to ``target.part`` first, so that an interrupted download resumes, in the same run or the
    next, from the same mirror or another. ``target`` appears only when it is complete and its checksum is right.

    Args:
        urls: http or https addresses of the file, tried in this order; proxies come from the environment.
        target: path for the file; its directory is created.
        checksum: the expected SHA-256 or MD5 in hex; None: no check.
        attempts: limit of requests in a row that bring no new data, because the connection breaks or the server is
            busy; the pauses between them grow. There is only one request to a host that cannot be reached from the
            start, and to a server that refuses.

    Raises:
        UserError: no address could be downloaded with the right checksum; the message says what was tried and where the
            file can be put by hand.
    """
    if target.is_file() and (checksum is None or checksum_of(target, checksum) == checksum):
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    failures: list[str] = []
    for url in [urls] if isinstance(urls, str) else urls:
        if failures:
            log(f"{failures[-1]}; trying {url}")
        try:
            _receive_with_retries(url, part, attempts)
            _check_content(url, part, checksum)
        except UserError as error:
            failures.append(str(error))
        else:
            part.replace(target)
            return target
    tried = "; ".join(failures) or f"{target.name}: no address is known to download it from"
    raise UserError(f"{tried}; if you have the file, put it at {target}")


def _check_content(url: str, part: Path, checksum: str | None) -> None:
    if checksum is not None and (found := checksum_of(part, checksum)) != checksum:
        part.unlink()
        name = "SHA-256" if len(checksum) == 64 else "MD5"
        raise UserError(f"{url}: its {name} is {found}, not {checksum}: not the file that is meant")


def _receive_with_retries(url: str, part: Path, attempts: int) -> None:
    """Complete ``part``; after a broken connection, try again as long as new data arrive."""
    most, failures = 0, 0
    while True:
        try:
            return _receive(url, part)
        except (httpx.TransportError, httpx.HTTPStatusError) as error:
            if isinstance(error, UNREACHABLE) and failures == 0:
                raise UserError(f"{url}: cannot be reached ({_reason(error)})") from None
            if isinstance(error, httpx.HTTPStatusError) and error.response.status_code not in BUSY:
                raise UserError(f"{url}: the server answers {_reason(error)}") from None
            have = part.stat().st_size if part.exists() else 0
            failures = 1 if have > most else failures + 1
            most = max(most, have)
            if failures >= attempts:
                raise UserError(f"{url}: the connection broke {failures} times in a row ({_reason(error)}); "
                                "the same command continues where it was") from None
            wait = min(MAX_WAIT_SECONDS, 2.0**failures)
            log(f"{part.stem}: {_reason(error)}; trying again in {wait:.0f} s")
            time.sleep(wait)
        except (httpx.InvalidURL, httpx.HTTPError) as error:
            raise UserError(f"{url}: {_reason(error)}") from None


def _receive(url: str, part: Path) -> None:
    """Append the missing data of ``url`` to ``part``; start over if the server cannot resume."""
    have = part.stat().st_size if part.exists() else 0
    timeout = httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS)
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with httpx.stream("GET", url, headers=headers, timeout=timeout, follow_redirects=True) as response:
        if response.status_code == 416:  # no data after ours: the file is complete, or another one
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
            for chunk in response.iter_raw():  # without a chunk size, which would hold back the last part
                stream.write(chunk)
                bar.update(len(chunk))


def _reason(error: Exception) -> str:
    if isinstance(error, httpx.HTTPStatusError):
        return f"{error.response.status_code} {error.response.reason_phrase}"
    return str(error) or type(error).__name__
