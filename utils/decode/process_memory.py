"""Memory of this process: what it uses now, and the most it has used."""

from __future__ import annotations

import resource
from pathlib import Path

_STATUS = Path("/proc/self/status")


def resident_mb() -> float:
    """Memory in use now, in MB; where there is no /proc, the most so far."""
    return _from_status("VmRSS") or peak_mb()


def peak_mb() -> float:
    """The most memory that was in use at once, in MB.

    It is read from /proc, because ``getrusage`` also counts what the parent used when it started this process.
    """
    return _from_status("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def _from_status(name: str) -> float:
    if not _STATUS.exists():
        return 0.0
    line = next(line for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines()
                if line.startswith(f"{name}:"))
    return round(int(line.split()[1]) * 1024 / 1e6, 1)
