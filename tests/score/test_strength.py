"""The share of its trained weight at which an adapter is used: loaded, chosen, kept, reported."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import made_scores
import pytest
import torch
from made_scores import add_decode, references, tables

from utils import ROOT
from utils.config import LoraOptions
from utils.data.lists import write_list
from utils.errors import UserError
from utils.filesystem import write_json
from utils.model.checkpoints import load_base_model, load_tuned_model
from utils.model.lora import add_lora

TEXTS = references(30)
LANGUAGES = ("en", "fr", "ru")
# Errors on dev fall with the share; those on the forget set rise, at share 1 above the base model's.
ERRORS = {"dev": {"lora-0.5": 0.3, "lora-0.8": 0.2, "lora-1": 0.1},
          "dialogues": {"base": 0.2, "lora-0.5": 0.2, "lora-0.8": 0.2, "lora-1": 0.5},
          "songs": {"base": 0.1, "lora-0.5": 0.3, "lora-0.8": 0.4, "lora-1": 0.5}}


@pytest.fixture
def experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An adapter that was decoded at three shares of its weight."""
    exp = tmp_path / "exp"
    for set_name, systems in ERRORS.items():
        for system, rate in systems.items():
            monkeypatch.setitem(made_scores.ERRORS, system, dict.fromkeys(LANGUAGES, rate))
            add_decode(exp / "strength", system, TEXTS, set_name=set_name)
    write_json(exp / "adapter_config.json", {"lora_alpha": 64, "r": 32})
    return exp


def choose(exp: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, ROOT / "pyscripts/choose_strength.py", *options, exp], capture_output=True,
                          text=True, check=False)


def alpha(exp: Path) -> float:
    return json.loads((exp / "adapter_config.json").read_text())["lora_alpha"]


def test_the_best_on_dev_that_loses_nothing_elsewhere_is_kept(experiment: Path) -> None:
    done = choose(experiment, "--strengths", "0.5 0.8 1", "--forget-sets", "dialogues")
    assert done.returncode == 0, done.stderr
    assert alpha(experiment) == pytest.approx(51.2)
    record = json.loads((experiment / "strength.json").read_text())
    assert record["strength"] == 0.8 and record["trained_alpha"] == 64
    assert [trial["share"] for trial in record["trials"]] == [0.5, 0.8, 1]
    choose(experiment, "--strengths", "0.5 0.8 1")  # without a forget set dev alone decides
    assert alpha(experiment) == 64


def test_if_all_lose_something_the_smallest_loss_is_kept(experiment: Path) -> None:
    done = choose(experiment, "--strengths", "0.5 0.8 1", "--forget-sets", "songs")
    assert alpha(experiment) == 32 and "all lose something, this one least" in done.stderr


def test_a_share_that_was_not_decoded_and_what_is_no_share_are_refused(experiment: Path) -> None:
    assert "lora-0.3 is not decoded and scored on dev" in choose(experiment, "--strengths", "0.3 1").stderr
    for shares in ("", "0", "half", "3"):
        assert "give numbers above 0" in choose(experiment, "--strengths", shares).stderr
    (experiment / "adapter_config.json").unlink()
    assert "only adapters have a strength" in choose(experiment, "--strengths", "0.5").stderr


def test_reports_show_the_shares(experiment: Path) -> None:
    add_decode(experiment, "lora", TEXTS)
    write_list(experiment / "test/text", TEXTS)
    choose(experiment, "--strengths", "0.5 0.8 1", "--forget-sets", "dialogues")
    made = subprocess.run([sys.executable, ROOT / "pyscripts/make_report.py", "--data", experiment, "--audio", "none",
                           experiment], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    assert "The adapter is used at 0.8" in (experiment / "report.html").read_text()
    report = (experiment / "RESULTS.md").read_text()
    assert "The adapter is used at 0.8 of its trained weight" in report
    shown = next(table for table in tables(report) if "share" in table[0])
    assert [row["share"] for row in shown] == ["0.5", "0.8 (used)", "1"]
    assert float(shown[0]["dev WER"]) > float(shown[1]["dev WER"]) > float(shown[2]["dev WER"])


def test_an_adapter_is_merged_at_a_share_of_its_trained_weight(tiny_whisper: Path, tmp_path: Path) -> None:
    tuned = add_lora(load_base_model(tiny_whisper), LoraOptions(r=4, alpha=8))
    for name, parameter in tuned.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter)
    tuned.save_pretrained(tmp_path / "adapter")

    def weight(strength: float | None) -> torch.Tensor:
        model = load_tuned_model(tmp_path / "adapter", tiny_whisper, strength=strength)
        return model.model.decoder.layers[0].fc1.weight

    base = load_base_model(tiny_whisper).model.decoder.layers[0].fc1.weight
    whole = weight(None) - base
    assert torch.equal(weight(1.0), weight(None)) and whole.abs().max() > 0.1
    assert torch.allclose(weight(0.25) - base, 0.25 * whole, atol=1e-6)
    done = choose(tmp_path / "adapter", "--strengths", "0.25")
    assert done.returncode == 0, done.stderr
    assert torch.allclose(weight(None) - base, 0.25 * whole, atol=1e-6)  # as every program reads it
    assert torch.allclose(weight(0.5) - base, 0.5 * whole, atol=1e-6)  # of the trained weight, not of the chosen one
    with pytest.raises(UserError, match="only an adapter has a strength"):
        load_tuned_model(tiny_whisper, tiny_whisper, strength=0.5)
