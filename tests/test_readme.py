"""The README says what is true: its commands parse, its files exist, and both languages give the same commands.

What the commands do is tested where they belong: `./run.sh` in test_real.py, own lists and single stages in
test_recipe.py, the parent project's three steps in test_parent_way.py, `./tools/test.sh` by running these tests.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("local", "conf", "egs", "egs/TEMPLATE")
READMES = ["README.md", "README.zh.md"]


def blocks(name: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / name).read_text("utf-8"), re.DOTALL | re.MULTILINE)


def commands(name: str) -> list[list[str]]:
    lines = [line for block in blocks(name, "bash") for line in block.splitlines()]
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def test_both_languages_give_the_same_commands_and_code():
    assert commands("README.md") == commands("README.zh.md")
    assert blocks("README.md", "python") == blocks("README.zh.md", "python")


@pytest.mark.parametrize("name", READMES)
def test_every_command_names_a_program_and_options_that_exist(name):
    help_of_run = subprocess.run([ROOT / "run.sh", "--help"], capture_output=True, text=True, check=True).stdout
    for words in commands(name):
        program = words[1] if words[0] == "python3" else words[0]
        assert (ROOT / program).is_file(), words
        options = [word for word in words if word.startswith("--")]
        if program.endswith("run.sh"):
            assert [option for option in options if option != "--help" and f"{option} " not in help_of_run] == []
        elif program.startswith("pyscripts/"):
            usage = subprocess.run(["python3", ROOT / program, "--help"], capture_output=True, text=True, check=True)
            assert [option for option in options if option not in usage.stdout] == []


@pytest.mark.parametrize("name", [*READMES, *(f"{room}/README.md" for room in ROOMS)])
def test_links_lead_to_files(name):
    links = re.findall(r"\]\((?!http)([^)#]+)\)", (ROOT / name).read_text("utf-8"))
    assert links
    assert [link for link in links if not ((ROOT / name).parent / link).exists()] == []
