"""pyscripts/collect_results.py: several experiments, and all corpora, in one table."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from made_scores import tables

from utils import ROOT
from utils.filesystem import write_json


def add_experiment(directory: Path, wer: dict[str, float], rules: str | None = None) -> None:
    """results.json with French WER by system, raw (ten more) and normalised."""
    write_json(directory / "results.json", [
        {"system": system, "set": "test", "language": "fr", "task": "transcribe", "metric": "wer",
         "value": value + raw, "ci95": [value - 1, value + 1], "n_utts": 20, "seconds": 1.0, "audio_seconds": 9.0,
         "normalizer": "none" if raw else "basic", "signature": None if raw else rules}
        for system, value in wer.items() for raw in (0, 10)])


@pytest.fixture
def recipe(tmp_path) -> Path:
    directory = tmp_path / "with space"
    add_experiment(directory / "exp" / "r8", {"base": 30, "lora": 20})
    add_experiment(directory / "exp" / "r32", {"base": 30, "lora": 15, "ct2-int8": 16})
    add_experiment(directory / "egs" / "aishell" / "exp" / "small", {"base": 40, "lora": 10})
    return directory


def collect(recipe: Path, *args: object) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, ROOT / "pyscripts/collect_results.py", *map(str, args)], cwd=recipe,
                          capture_output=True, text=True, check=False)


def test_all_experiments_of_all_corpora_stand_in_one_table(recipe):
    done = collect(recipe)
    assert done.returncode == 0, done.stderr
    table, = tables(done.stdout)
    assert [line["experiment"] for line in table] == ["egs/aishell/exp/small", "exp/r32", "exp/r8"]
    assert [*table[0]] == ["set", "metric", "language", "experiment", "utts", "base", "lora", "ct2-int8"]
    assert table[1]["lora"] == "15.0 [14.0, 16.0]" and table[2]["ct2-int8"] == "–"


def test_experiments_scored_by_other_rules_say_so(recipe):
    add_experiment(recipe / "exp" / "r8", {"base": 28, "lora": 18}, "rules:2+turkic-case")
    table, = tables(collect(recipe, "exp/r8", "exp/r32").stdout)
    assert [line["experiment"] for line in table] == ["exp/r32 (rules 1)", "exp/r8 (rules 2)"]
    table, = tables(collect(recipe, "--form", "raw", "exp/r8", "exp/r32").stdout)  # they know other words, too
    assert [line["experiment"] for line in table] == ["exp/r32 (rules 1)", "exp/r8 (rules 2)"]


def test_named_experiments_raw_to_a_file(recipe):
    done = collect(recipe, "--form", "raw", "--output", "all.md", "exp/r8")
    assert done.returncode == 0, done.stderr
    line, = tables((recipe / "all.md").read_text())[0]
    assert (line["experiment"], line["lora"]) == ("exp/r8", "30.0 [19.0, 21.0]")


def test_rows_are_ready_to_paste_into_a_corpus_own_table(recipe):
    done = collect(recipe, "--format", "rows", "--metrics", "wer", "exp/r8", "exp/r32")
    assert done.returncode == 0, done.stderr
    rows, = tables(done.stdout)
    assert [[*row.values()] for row in rows] == [
        ["exp/r8, base model", "30.0"], ["exp/r8, tuned", "20.0"], ["exp/r32, base model", "30.0"],
        ["exp/r32, tuned", "15.0"], ["exp/r32, ct2-int8", "16.0"]]
    assert [*rows[0]] == ["", "fr WER"]


def test_json_holds_every_row_and_its_experiment(recipe):
    rows = json.loads(collect(recipe, "--format", "json").stdout)
    assert len(rows) == 2 * (2 + 3 + 2)
    assert {row["experiment"] for row in rows} == {"exp/r8", "exp/r32", "egs/aishell/exp/small"}


@pytest.mark.parametrize(("args", "complaint"), [
    (["exp/none"], "exp/none/results.json: cannot be read"), (["--metrics", "per"], "unknown metric 'per'"),
    (["exp/r8", "exp/r8"], "exp/r8: named twice"), (["--metrics", "bleu"], "have no such scores")])
def test_mistakes_are_one_clear_line(recipe, args, complaint):
    done = collect(recipe, *args)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert complaint in done.stderr
