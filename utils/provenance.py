"""Where figures come from: date, commit, versions and machine."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from utils.masking import mask_secrets

PACKAGES = ("torch", "transformers", "peft", "ctranslate2", "jiwer", "sacrebleu")


def git_commit(repository: Path) -> str:
    """Short hash of the commit checked out, with ``-dirty`` if tracked files have changed since."""
    command = ["git", "-C", str(repository), "describe", "--always", "--dirty", "--abbrev=10", "--exclude=*"]
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown (no git checkout)"


def versions() -> str:
    """Python and PACKAGES with their versions."""
    found = [f"python {platform.python_version()}"]
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"{package} not installed")
    return ", ".join(found)


def machine() -> str:
    """CPU model, cores that this process may use, and the GPUs that torch sees."""
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return f"{_cpu_model()}, {cores} cores, {', '.join(gpus) or 'no GPU'}"


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _code_span(text: str) -> str:
    """``text`` as Markdown shows it letter by letter, on one line."""
    text = " ".join(text.splitlines())
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}{text}{fence}" if fence == "`" else f"{fence} {text} {fence}"


def provenance(command: str) -> dict[str, str]:
    """What a report is headed by, in this order; secrets in the command are masked."""
    return {
        "date": time.strftime("%Y-%m-%d %H:%M %Z"),
        "commit": git_commit(Path(__file__).resolve().parents[1]),
        "command": _code_span(mask_secrets(command)) if command else "not given",
        "versions": versions(),
        "machine": machine(),
    }
