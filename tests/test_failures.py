"""doc/failures.md explains every message that a user can get, and no message that does not exist."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PYTHON = [path for pattern in ("utils/**/*.py", "pyscripts/*.py", "local/*.py", "egs/*/local/*.py")
          for path in sorted(ROOT.glob(pattern))]
SHELL = [path for pattern in ("*.sh", "utils/**/*.sh", "egs/TEMPLATE/*.sh", "tools/*.sh")
         for path in sorted(ROOT.glob(pattern))]
# Calls whose argument is a message or a part of one.
RAISING = {"UserError", "error", "refuse", "damaged", "Problem", "_missing"}
REFUSING = {"lists.py", "languages.py"}  # their ValueErrors become a line of the report


def pattern_of(node: ast.expr) -> str:
    """A message's text, ``…`` where it changes."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(value.value if isinstance(value, ast.Constant) else "…" for value in node.values)
    if isinstance(node, ast.BinOp):
        return pattern_of(node.left) + pattern_of(node.right)
    return "…"


def messages() -> Iterator[tuple[str, str]]:
    """Place and text of every message in the code that has words of its own (``{path}: {error}`` has none)."""
    for path in PYTHON:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            name = getattr(node.func, "attr", getattr(node.func, "id", "")) if isinstance(node, ast.Call) else ""
            if name in RAISING or (name == "ValueError" and path.name in REFUSING):
                said = [text for text in map(pattern_of, node.args) if re.search(r"\w.* .*\w", text)]
                yield from ((f"{path.relative_to(ROOT)}:{node.lineno}", text) for text in said[-1:])
    for path in SHELL:
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            if match := re.search(r"""\bdie "((?:\\.|[^"\\])+)\"""", line):
                yield f"{path.relative_to(ROOT)}:{number}", re.sub(r"\$(\{[^}]*\}|\(\([^)]*\)\)|[\w@]+)", "…", match[1])


def phrases() -> list[str]:
    """The phrases that the first columns of the guide's tables quote."""
    rows = re.findall(r"^\| (.*?) (?<!\\)\|", (ROOT / "doc/failures.md").read_text("utf-8"), re.MULTILINE)
    return [phrase for row in rows for phrase in re.findall("`([^`]+)`", row)]


def says(text: str, phrase: str) -> bool:
    """Whether a message contains the pieces of a phrase (separated by ``…``), in their order."""
    place = 0
    for piece in phrase.split("…"):
        place = text.find(piece, place) + len(piece)
        if place < len(piece):
            return False
    return True


MESSAGES = sorted(messages())


def test_every_message_is_explained() -> None:
    assert len(MESSAGES) > 200
    known = phrases()
    unexplained = [f"{place}: {text}" for place, text in MESSAGES if not any(says(text, phrase) for phrase in known)]
    assert not unexplained, "add to a table of doc/failures.md:\n" + "\n".join(unexplained)


def test_every_explanation_is_of_a_message() -> None:
    source = [text for _, text in MESSAGES] + [
        pattern_of(node) for path in PYTHON for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, (ast.JoinedStr, ast.Constant))]
    assert [phrase for phrase in phrases() if not any(says(text, phrase) for text in source)] == []


@pytest.mark.parametrize("readme", ["README.md", "README.zh.md"])
def test_newcomers_find_the_guide(readme: str) -> None:
    assert "(doc/failures.md)" in (ROOT / readme).read_text("utf-8")
