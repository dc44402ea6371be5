"""Targets with a relative in training: found, scored apart, and stated in the reports."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from made_scores import add_decode, references, tables

from utils import ROOT
from utils.data.lists import read_list, write_list
from utils.score.unseen import UNSEEN

TEXTS = references(20)
HALF = {key: text for key, text in TEXTS.items() if int(key.split("|")[0][1:]) < 10}


def run(script: str, *args: object) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([sys.executable, ROOT / "pyscripts" / script, *map(str, args)], capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done


def test_relatives_are_looked_for_in_the_language_that_a_text_is_written_in(tmp_path: Path) -> None:
    write_list(tmp_path / "train", {"a|en|transcribe": "Press one now!", "b|fr|transcribe": "tapez un",
                                    "c|fr|translate": "hold the line"})
    write_list(tmp_path / "test", {"x|fr|translate": "press one now", "y|fr|transcribe": "press one now",
                                   "z|en|transcribe": "please hold the line", "w|fr|transcribe": "tapez un chiffre"})
    run("find_relatives.py", "--train-text", tmp_path / "train", tmp_path / "test", tmp_path / "out.tsv")
    found = [line.split("\t") for line in (tmp_path / "out.tsv").read_text().splitlines()]
    assert [(key, text) for key, _, text in found] == [
        ("w|fr|transcribe", "tapez un"), ("x|fr|translate", "press one now"), ("z|en|transcribe", "hold the line")]
    assert found[1][1] == "100.0"


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An experiment of base and tuned model, of whose targets half have a relative."""
    root = tmp_path_factory.mktemp("unseen")
    write_list(root / "text", TEXTS)
    (root / "relatives.tsv").write_text("".join(f"{key}\t100.0\tsame\n" for key in HALF))
    for system in ("base", "lora"):
        directory = add_decode(root / "exp", system, TEXTS)
        run("score.py", "--ref", root / "text", "--relatives", root / "relatives.tsv", "--bootstrap", "100", "--nj", 1,
            directory)
    return root


def test_the_others_are_scored_as_if_they_were_the_set(scored: Path, tmp_path: Path) -> None:
    directory = scored / "exp/decode_test_base"
    others = {key: text for key, text in TEXTS.items() if key not in HALF}
    hypotheses = read_list(directory / "text", allow_empty=True)
    write_list(tmp_path / "ref", others)
    write_list(tmp_path / "alone/text", {key: hypotheses[key] for key in others})
    (tmp_path / "alone/decode.json").write_text((directory / "decode.json").read_text())
    run("score.py", "--ref", tmp_path / "ref", "--bootstrap", "100", "--nj", 1, tmp_path / "alone")
    alone = {(row["metric"], row["language"]): (row["value"], row["n_utts"])
             for row in json.loads((tmp_path / "alone/scores.json").read_text()) if row["form"] == "spoken"}
    unseen = json.loads((directory / UNSEEN).read_text())
    assert (unseen["targets"], unseen["relatives"]) == (len(TEXTS), len(HALF))
    assert {(row["metric"], row["language"]): (row["value"], row["n_utts"]) for row in unseen["scores"]} == alone


def test_reports_state_the_share_and_both_figures(scored: Path) -> None:
    run("make_report.py", "--bootstrap", 100, scored / "exp")
    text = (scored / "exp/RESULTS.md").read_text()
    assert f"RELATIVES: {len(HALF)} of {len(TEXTS)} targets of test (50 %) have a relative" in " ".join(text.split())
    whole, rest = tables(text)[:2]
    assert [int(line["utts"]) for line in rest] == [int(line["utts"]) // 2 for line in whole]
    assert [line["base"] for line in rest] != [line["base"] for line in whole]
    rows = json.loads((scored / "exp/results.json").read_text())
    assert {row.get("subset") for row in rows} == {None, "no relative in training"}
    shown = run("collect_results.py", "--metrics", "wer", scored / "exp").stdout
    assert [line["utts"] for line in tables(shown)[0]] == [line["utts"] for line in whole if line["metric"] == "WER"]


def test_a_set_without_relatives_says_so_in_a_line(tmp_path: Path) -> None:
    write_list(tmp_path / "text", TEXTS)
    (tmp_path / "none.tsv").touch()
    directory = add_decode(tmp_path / "exp", "base", TEXTS)
    run("score.py", "--ref", tmp_path / "text", "--relatives", tmp_path / "none.tsv", "--bootstrap", "100", "--nj", 1,
        directory)
    run("make_report.py", "--corpus-name", "prompts", "--bootstrap", 100, tmp_path / "exp")
    text = " ".join((tmp_path / "exp/RESULTS.md").read_text().split())
    assert "No target of test has a relative among the training texts" in text
    assert "without relatives" not in text
    assert "one voice speaks each language, in training and test alike" in text
