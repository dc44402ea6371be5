"""The pages are correct: their commands parse and name programs and options that exist, their links lead to files.

What the commands do is tested where they belong: `./run.sh` in test_real.py, own lists and single stages in
test_recipe.py, the parent project's three steps in test_parent_way.py, `./tools/test.sh` by running these tests.
"""

from __future__ import annotations

import functools
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
READMES = ["README.md", "README.zh.md"]
# Pages whose commands are given in the repository's root, and those whose commands are given beside them.
PAGES = [*READMES, "CONTRIBUTING.md", *sorted(f"doc/{page.name}" for page in (ROOT / "doc").glob("*.md")),
         "conf/README.md", "egs/README.md", "local/README.md", "local/RESULTS.md", "tools/bench/README.md"]
CORPORA = sorted(str(page.relative_to(ROOT)) for page in (ROOT / "egs").glob("*/*.md")
                 if page.parent.name != "TEMPLATE")
LINKING = [*PAGES, *CORPORA, "egs/TEMPLATE/README.md"]
# What a command may be besides a file of the repository.
PROGRAMS = {".", "arecord", "eval", "mypy", "pip", "pre-commit", "python3", "ruff", "sed"}
# One term for one thing in the Chinese page: the others that were once used for it.
OTHER_TERMS = {"归一化": ["规范化", "正规化"], "转写": ["转录"], "教师模型": ["老师"], "质量检查": ["关卡"]}


def blocks(name: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / name).read_text("utf-8"), re.DOTALL | re.MULTILINE)


def commands(name: str, language: str = "(?:bash|sh)") -> list[list[str]]:
    """The words of every command of a page: comments, variables set for it, `sudo` and redirections left out."""
    found = []
    for block in blocks(name, language):
        code = re.sub(r"(^|\s)#.*", r"\1", block.replace("\\\n", " "), flags=re.MULTILINE)
        lexer = shlex.shlex(code, posix=True, punctuation_chars="|&;<>\n")
        lexer.whitespace, lexer.commenters, lexer.whitespace_split = " \t", "", True
        words: list[str] = []
        for word in [*lexer, "\n"]:
            if word and set(word) <= set("|&;\n"):
                found.append(words)
                words = []
            elif words or not (word == "sudo" or re.match(r"\w+=", word)):
                words.append(word)
    return [words[:words.index(">")] if ">" in words else words for words in found if words]


def options(words: list[str]) -> list[str]:
    """Those that a command names; every program has `--help`. Options inside a quoted word are another program's."""
    named = [word.partition("=")[0] for word in words if re.fullmatch(r"--[a-z][\w-]*(=.*)?", word)]
    return [option for option in named if option != "--help"]


@functools.cache
def usage(*command: str | Path) -> str:
    """The output of a program's --help."""
    interpreter = [sys.executable] if str(command[0]).endswith(".py") else []
    return subprocess.run([*interpreter, *command, "--help"], capture_output=True, text=True, check=True).stdout


def usage_of(program: Path, words: list[str]) -> str:
    if program.name == "serve.sh":  # it hands its options on, after an installation
        return usage(ROOT / "pyscripts/serve.py")
    if program.name == "bench.sh":
        return usage(ROOT / f"tools/bench/bench_{words[1]}.py")
    if program.name == "run.sh":
        return usage(ROOT / "run.sh")
    return usage(program)


def test_every_page_is_looked_at() -> None:
    assert {"doc/README.md", "doc/data.md", "doc/failures.md", "doc/LOG.md"} <= set(PAGES)
    assert len(CORPORA) >= 8
    assert sum(len(commands(name)) for name in PAGES) > 50


def test_commands_are_taken_apart_as_a_shell_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = "```bash\na=1 ./x.sh --b \"c d\" # e\n\nsudo y \\\n  --z=1 >out | w\n```\n```\nno\n```\n"
    (tmp_path / "page.md").write_text(page)
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    assert commands("page.md") == [["./x.sh", "--b", "c d"], ["y", "--z=1"], ["w"]]
    assert options(commands("page.md")[1]) == ["--z"]


def test_both_languages_give_the_same_commands_and_code():
    assert commands("README.md") == commands("README.zh.md")
    assert blocks("README.md", "python") == blocks("README.zh.md", "python")


def test_both_languages_say_the_same_in_the_same_order():
    pages = [(ROOT / name).read_text("utf-8") for name in READMES]
    for pattern in (r"^#+ ", r"(?<=\]\()(?!README)[^)]+(?=\))", r"^\| *(?:`[^`]+`|WER|BLEU|\d).*"):
        english, chinese = (re.findall(pattern, page, re.MULTILINE) for page in pages)
        if pattern.startswith(r"^\|"):  # of tables: code and figures, whatever the words around them
            english, chinese = ([re.findall(r"`[^`]+`|\d[\d.]*", row) for row in rows] for rows in (english, chinese))
        assert english == chinese


def test_the_chinese_page_has_one_term_for_one_thing():
    text = (ROOT / "README.zh.md").read_text("utf-8")
    assert [other for others in OTHER_TERMS.values() for other in others if other in text] == []


def test_the_readme_is_short():
    """Longer text belongs to a page of doc/."""
    assert (ROOT / "README.md").stat().st_size < 10_000


@pytest.mark.parametrize("name", [page for page in PAGES if blocks(page, "(?:bash|sh)")])
def test_every_command_names_a_program_and_options_that_exist(name):
    check_commands(name, ROOT)


@pytest.mark.parametrize("name", [page for page in CORPORA if blocks(page, "(?:bash|sh)")])
def test_every_command_of_a_corpus_does(name):
    check_commands(name, (ROOT / name).parent)


def check_commands(name: str, directory: Path) -> None:
    for words in commands(name):
        program = words[1] if words[0] == "python3" and words[1] != "-m" else words[0]
        if program in PROGRAMS and (name not in READMES or words in commands(name, "sh")):
            continue
        assert (directory / program).is_file(), words
        if named := options(words):
            known = usage_of(directory / program, words)
            assert [option for option in named if not re.search(rf"{option}(?![\w-])", known)] == [], words


@pytest.mark.parametrize("name", PAGES)
def test_every_block_of_commands_is_a_shells(name):
    for block in blocks(name, "(?:bash|sh)"):
        checked = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True, check=False)
        assert checked.returncode == 0, f"{block}\n{checked.stderr}"


@pytest.mark.parametrize("name", LINKING)
def test_links_lead_to_files(name):
    links = re.findall(r"\]\((?!http)([^)#]+)(?:#[^)]*)?\)", (ROOT / name).read_text("utf-8"))
    assert links or name in CORPORA or not name.endswith(("README.md", "README.zh.md"))
    assert [link for link in links if not ((ROOT / name).parent / link).exists()] == []


def test_every_page_of_doc_is_in_its_index():
    index = (ROOT / "doc/README.md").read_text("utf-8")
    pages = {page.name for page in (ROOT / "doc").glob("*.md")} - {"README.md"}
    assert [page for page in sorted(pages) if f"({page})" not in index] == []


def test_every_picture_is_made_by_a_script_and_shown():
    pictures = sorted((ROOT / "doc/pictures").glob("*.png"))
    assert pictures and [path.name for path in pictures if path.stat().st_size > 200_000] == []
    pages = "".join((ROOT / name).read_text("utf-8") for name in PAGES)
    scripts = "".join(path.read_text("utf-8") for path in (ROOT / "doc/pictures").glob("*.py"))
    assert [path.name for path in pictures if path.name not in pages or path.name not in scripts] == []
