"""The rooms of utils/: each is documented, imports only from those above it, and every name has one meaning."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from utils import ROOT

UTILS = ROOT / "utils"
ROOMS = re.findall(r"^\| `(\w+)/` \|", (UTILS / "README.md").read_text("utf-8"), re.MULTILINE)
# Scripts, each of which is run and never imported, start with a function of this name.
SAME_NAMES = {"main"}


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_of(path): path for path in sorted(UTILS.rglob("*.py"))}


def imports(module: str) -> Iterator[tuple[str, int]]:
    """Modules of utils/ that a module imports, anywhere in it, and on which line; packages' ``__init__`` included."""
    for node in ast.walk(ast.parse(MODULES[module].read_text("utf-8"))):
        named: list[str] = []
        if isinstance(node, ast.Import):
            named = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno}: a relative import"
            for alias in node.names:
                below = f"{node.module}.{alias.name}"
                named.append(below if below in MODULES else node.module or "")
        yield from ((name, node.lineno) for name in named if name.split(".")[0] == "utils")


def place(module: str) -> int:
    """The row of a module's room in the README; 0 for the top."""
    parts = module.split(".")
    return ROOMS.index(parts[1]) + 1 if len(parts) > 1 and (UTILS / parts[1]).is_dir() else 0


def test_rooms_of_the_readme_are_the_folders() -> None:
    folders = {path.name for path in UTILS.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert set(ROOMS) == folders and len(ROOMS) == len(folders)
    top = re.search(r"^\| \*\(top\)\* \|.*$", (UTILS / "README.md").read_text("utf-8"), re.MULTILINE)
    assert top and set(re.findall(r"`(\w+)`", top[0])) == {
        path.stem for path in UTILS.glob("*.py") if path.stem != "__init__"}


def test_every_room_says_what_it_is() -> None:
    for room in ROOMS:
        tree = ast.parse((UTILS / room / "__init__.py").read_text("utf-8"))
        docstring = ast.get_docstring(tree)
        assert docstring and "\n" not in docstring, room
        assert room == "export" or len(tree.body) == 1, f"utils/{room}/__init__.py: hands names on"


def test_a_room_imports_only_rooms_above_it() -> None:
    wrong = [f"{module}:{line} imports {name}" for module in MODULES for name, line in imports(module)
             if place(name) > place(module)]
    assert wrong == []


def test_no_module_imports_itself_by_way_of_others() -> None:
    graph = {module: {name for name, _ in imports(module)} for module in MODULES}
    done: set[str] = set()

    def follow(module: str, way: list[str]) -> None:
        assert module not in way, " -> ".join([*way[way.index(module):], module])
        if module not in done:
            for name in sorted(graph.get(module, ())):
                follow(name, [*way, module])
            done.add(module)

    for module in graph:
        follow(module, [])


def test_a_name_means_one_thing() -> None:
    places = defaultdict(list)
    for module, path in MODULES.items():
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and node.name[0] != "_":
                places[node.name].append(module)
    assert {name: modules for name, modules in places.items() if len(modules) > 1 and name not in SAME_NAMES} == {}


def test_only_the_job_drivers_are_commands_on_the_path() -> None:
    path = (ROOT / "path.sh").read_text("utf-8")
    assert "$_root/utils/jobs" in path
    commands = {path.name for path in (UTILS / "jobs").iterdir() if path.is_file() and path.stat().st_mode & 0o111}
    assert commands == {"cmd_local.py", "cmd_slurm.py", "cmd_sge.py"}


@pytest.mark.parametrize("module", ["utils.train.finetune", "utils.export"])
def test_training_and_exporting_load_no_scoring(module: str) -> None:
    program = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True,
                            check=True).stdout.split()
    assert module in loaded and not {"jiwer", "sacrebleu", "rapidfuzz"} & set(loaded)


def test_reports_load_no_network() -> None:
    """The modules that :mod:`utils.report` takes from the export's room must not bring torch."""
    program = "import sys, utils.report.results_md; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True,
                            check=True).stdout.split()
    assert "utils.export.parity" in loaded and "torch" not in loaded
