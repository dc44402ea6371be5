"""Locks of a directory against simultaneous runs: either one run that writes, or any number of runs that read.

The lock is the kernel's (flock) on a file descriptor that the run's shell keeps open, so it ends with the run, even if
that is killed. Processes that the run has started hold the lock, too, until they end. Standard library only.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import socket
import time
from pathlib import Path
from typing import Any

from utils.errors import UserError

_RELEASE_SECONDS = 5.0  # within which a run that was just killed releases its lock
_UNSUPPORTED = (errno.ENOLCK, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS)


def lock_run(file: Path, descriptor: int, mode: str, pid: int, command: str) -> str:
    """Lock ``file``, on which ``descriptor`` is open, and write the owner of the lock into it.

    Args:
        mode: "write": exclusive; "read": shared with other readers; "any": exclusive if possible, else shared.
        pid: process id of the run's shell.
        command: the run's command line.

    Returns:
        "write" or "read"; "none" on a disk that does not support locks.

    Raises:
        UserError: another run holds the lock; the message names it.
    """
    deadline = time.monotonic() + _RELEASE_SECONDS
    while (kind := _try_lock(descriptor, mode)) is None:
        if any(map(_alive, _owners(file))) or time.monotonic() > deadline:
            raise UserError(in_use(file, pid))
        time.sleep(0.1)
    if kind != "none":
        _note(file, kind, pid, command)
    return kind


def _try_lock(descriptor: int, mode: str) -> str | None:
    """Return "write", "read" or "none" as in :func:`lock_run`, or None if another run holds the lock."""
    for kind in {"write": ["write"], "read": ["read"], "any": ["write", "read"]}[mode]:
        operation = fcntl.LOCK_EX if kind == "write" else fcntl.LOCK_SH
        try:
            fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
            return kind
        except BlockingIOError:
            continue
        except OSError as error:
            if error.errno in _UNSUPPORTED:
                return "none"
            raise
    return None


def in_use(file: Path, pid: int) -> str:
    """Return one line that names the holders of a lock other than the run ``pid``, and says what to do."""
    directory = file.parent.parent
    owners = [owner for owner in _owners(file) if _alive(owner) and owner["pid"] != pid]
    if owners:
        names = "; ".join(f"process {owner['pid']} on {owner['host']} since {owner['since']}: {owner['command']}"
                          for owner in owners)
        return f"{directory}/ is in use by another run ({names}). Wait for it, or stop it"
    left = [holder for holder in _holders(file) if holder != pid]
    if left:
        pids = " ".join(map(str, left))
        return (f"{directory}/ is in use: processes of an earlier run are still running (process {pids}). Wait for "
                f"them, or stop them: kill {pids}")
    return f"{directory}/ is in use by a run on another machine. Wait for it, or stop it"


def is_writing(file: Path) -> str:
    """Return a short text that names the process that holds a write lock; empty if there is none."""
    try:
        with file.open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return ""
    except BlockingIOError:
        writers = [owner for owner in _owners(file) if owner["mode"] == "write" and _alive(owner)]
        return f"process {writers[-1]['pid']} on {writers[-1]['host']}" if writers else "processes of a killed run"
    except OSError:
        return ""


def _note(file: Path, kind: str, pid: int, command: str) -> None:
    owner = {"pid": pid, "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S"), "mode": kind,
             "command": command}
    others = [] if kind == "write" else [other for other in _owners(file) if other["pid"] != pid and _alive(other)]
    with contextlib.suppress(OSError):  # no permission or a full disk: the lock works without the owner's name
        file.write_text("".join(json.dumps(record) + "\n" for record in [*others, owner]), encoding="utf-8")


def _owners(file: Path) -> list[dict[str, Any]]:
    owners = []
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            record = json.loads(line)
            owners.append({name: record[name] for name in ("pid", "host", "since", "mode", "command")})
        except (ValueError, KeyError, TypeError):  # another process is writing this line
            continue
    return owners


def _alive(owner: dict[str, Any]) -> bool:
    """Whether the owner's process exists; assumed for processes of other machines."""
    if owner["host"] != socket.gethostname():
        return True
    try:
        os.kill(owner["pid"], 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _holders(file: Path) -> list[int]:
    """Ids of the processes of this machine that have the file open, as far as /proc shows them."""
    inode = file.stat()
    found = set()
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            stat = link.stat()
        except OSError:
            continue
        if (stat.st_dev, stat.st_ino) == (inode.st_dev, inode.st_ino):
            found.add(int(link.parts[2]))
    return sorted(found - {os.getpid(), os.getppid()})
