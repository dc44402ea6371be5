"""Provenance of results: date, commit, command, versions and machine."""

from __future__ import annotations

import json
import os
import platform
import re
import shlex
import socket
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path
from typing import Any

from utils import ROOT
from utils.filesystem import atomic_open
from utils.masking import mask_secrets

ENVIRONMENT = "environment.json"
# Environment variables that change results or speed. Only these are recorded: others may hold passwords.
_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "CUBLAS_WORKSPACE_CONFIG", "LC_ALL",
              "PYTHONHASHSEED", "SLURM_JOB_ID", "SLURM_JOB_NODELIST", "JOB_ID", "HF_HUB_OFFLINE", "cmd_backend")
PACKAGES = ("torch", "transformers", "peft", "ctranslate2", "jiwer", "sacrebleu")


def git_commit(repository: Path) -> str:
    """Return the short hash of the checked-out commit, with ``-dirty`` if tracked files have changed since."""
    command = ["git", "-C", str(repository), "describe", "--always", "--dirty", "--abbrev=10", "--exclude=*"]
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown (no git checkout)"


def versions() -> str:
    """Return the versions of Python and PACKAGES, on one line."""
    found = [f"python {platform.python_version()}"]
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"{package} not installed")
    return ", ".join(found)


def machine() -> str:
    """Return one line: the CPU model, the number of cores that this process may use, the GPUs that torch sees."""
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
    """``text`` on one line as a Markdown code span."""
    text = " ".join(text.splitlines())
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}{text}{fence}" if fence == "`" else f"{fence} {text} {fence}"


def provenance(command: str) -> dict[str, str]:
    """Return the rows at the head of a report, in their order; secrets in ``command`` are masked."""
    return {
        "date": time.strftime("%Y-%m-%d %H:%M %Z"),
        "commit": git_commit(ROOT),
        "command": _code_span(mask_secrets(command)) if command else "not given",
        "versions": versions(),
        "machine": machine(),
    }


def environment() -> dict[str, Any]:
    """Return this process's environment: command, commit, all packages, operating system and hardware."""
    import torch

    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0
    return {
        "date": time.strftime("%Y-%m-%d %H:%M:%S %Z"),
        "commit": git_commit(ROOT),
        "command": mask_secrets(shlex.join(sys.argv)),
        "directory": str(Path.cwd()),
        "host": socket.gethostname(),
        "system": platform.platform(),
        "python": sys.version,
        "machine": machine(),
        "memory_gb": round(memory / 1e9, 1),
        "torch": {"threads": torch.get_num_threads(), "cuda": torch.version.cuda,
                  "cudnn": torch.backends.cudnn.version(), "cpu_capability": torch.backends.cpu.get_cpu_capability()},
        "variables": {name: os.environ[name] for name in _VARIABLES if name in os.environ},
        "packages": dict(sorted((package.name, package.version) for package in distributions() if package.name)),
    }


def record_environment(path: Path) -> None:
    """Append this process's environment to the JSON list in ``path``; a resumed training may run on another machine."""
    try:
        earlier = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        earlier = []
    with atomic_open(path) as stream:
        json.dump([*earlier, environment()], stream, indent=1, ensure_ascii=False)
        stream.write("\n")
