"""The project's rules about its own files that no checker covers."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def files(*patterns: str) -> list[Path]:
    """The repository's files, committed or about to be, that match git's patterns."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
    paths = [ROOT / os.fsdecode(name) for name in listing.split(b"\0") if name]
    return [path for path in paths if path.is_file()]


def names(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


SCRIPTS = files("pyscripts/*.py", "egs/*/local/download_*.py", "egs/*/local/prepare_*.py")


@pytest.mark.parametrize(("limit", "patterns"), [
    (200, ["pyscripts/*.py", "run.sh", "egs/*/run.sh", "egs/*/local/*.py"]), (300, ["utils/*.py"])])
def test_no_file_is_too_long(limit, patterns):
    lengths = {path: len(path.read_text("utf-8").splitlines()) for path in files(*patterns)}
    assert lengths, "nothing found to measure"
    assert names([path for path, length in lengths.items() if length > limit]) == []


def test_no_module_hides_another():
    """``queue.py`` beside a script breaks ``import queue`` in everything that the script imports."""
    taken = set(sys.stdlib_module_names) | set(importlib.metadata.packages_distributions())
    ours = files("utils/*.py", "pyscripts/*.py", "local/*.py", "egs/*/local/*.py")
    assert names([path for path in ours if path.stem in taken and path.stem != "__init__"]) == []


def test_no_package_registry_is_written_into_a_file():
    """Only the user's configuration of pip, apt or npm decides where packages come from."""
    names_in_pieces = (("pypi", "org"), ("pythonhosted", "org"), ("npmjs", "org"), ("debian", "org"),
                       ("archive", "ubuntu"), ("anaconda", "org"), ("download", "pytorch"))
    hosts = [".".join(pieces).encode() for pieces in names_in_pieces]
    found = [path for path in files() if any(host in path.read_bytes() for host in hosts)]
    assert names(found) == []


def test_every_script_can_be_started():
    """A shebang without the executable bit, or the other way round, fails only on a user's machine."""
    scripts = files("*.py", "*.sh", ".ci/run")
    wrong = [path for path in scripts if path.read_bytes().startswith(b"#!") != os.access(path, os.X_OK)]
    assert names(wrong) == []
    assert names([path for path in SCRIPTS if not os.access(path, os.X_OK)]) == []


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_every_script_explains_itself(script, tmp_path):
    """``--help`` works from any directory, and without path.sh."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    asked = subprocess.run([sys.executable, script, "--help"], cwd=tmp_path, env=environment, timeout=60,
                           capture_output=True, text=True, encoding="utf-8")
    assert asked.returncode == 0, asked.stderr
    assert f"usage: {script.name}" in asked.stdout
    assert not re.search(r"default: (True|False)|[ \[]BOOL\b", asked.stdout)  # what is shown can be typed
    assert asked.stderr == ""


def test_nothing_foreign_can_be_run():
    """Pickles, remote code, YAML's objects and commands through a shell: there is one place for the last, wav.scp's."""
    forbidden = re.compile(r"\btorch\.load\b|\bimport c?pickle\b|trust_remote_code=True|weights_only=False|allow_pickle"
                           r"|\byaml\.(unsafe_|full_)?load\(|shell=True|\bos\.(system|popen)\b|(?<![.\w])(eval|exec)\(")
    ours = files("utils/*.py", "pyscripts/*.py", "local/*.py", "egs/*.py", "tools/*.py")
    code = {path: re.sub("  # .*", "", path.read_text("utf-8")) for path in ours}
    code = {path: re.sub(r'""".*?"""|"[^"\n]*"', "", text, flags=re.DOTALL) for path, text in code.items()}
    assert names([path for path, text in code.items() if forbidden.search(text)]) == []
