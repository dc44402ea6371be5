"""Model cards: the header that the hub reads, and code examples that run."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from exported_tiny import ExportedTiny
from huggingface_hub import ModelCard
from made_scores import add_decode, references
from peft import PeftModel

from utils import ROOT
from utils.config import LoraOptions
from utils.data.lists import write_list
from utils.errors import UserError
from utils.filesystem import write_json
from utils.model.checkpoints import load_base_model
from utils.model.lora import add_lora
from utils.model.origin import base_model_name
from utils.publish.hub_upload import plan
from utils.publish.model_card import Origin, make_adapter_portable, open_experiment

DIRECTORIES = ("adapter", "merged", "ct2_int8")


@pytest.fixture(scope="module")
def experiment(exported_tiny: ExportedTiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An experiment with adapter, whole model, export and scores; cards written by the script, for directories."""
    exp_dir = tmp_path_factory.mktemp("with space") / "exp" / "demo"
    shutil.copytree(exported_tiny.adapter, exp_dir)
    for system in ("base", "lora", "ct2-int8"):
        add_decode(exp_dir, system, references(10))
    write_json(exp_dir / "word_times.json", {"sentence": "Word times are as good as the base model's."})
    write_list(exp_dir / "train_text", references(2))
    run_script(exp_dir, "--base-dir", exported_tiny.base)
    return exp_dir


def run_script(exp_dir: Path, *arguments: object) -> None:
    done = subprocess.run([sys.executable, ROOT / "pyscripts/write_model_cards.py", "--train-text",
                           exp_dir / "train_text", *arguments, exp_dir], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


def card_of(exp_dir: Path, directory: str) -> ModelCard:
    return ModelCard.load(exp_dir / ("" if directory == "adapter" else directory) / "README.md")


@pytest.mark.parametrize("directory", DIRECTORIES)
def test_code_of_the_card_runs(experiment: Path, directory: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                               capsys: pytest.CaptureFixture[str]) -> None:
    """Every block on its own, beside a file audio.wav; each writes a line for each task."""
    rng = np.random.default_rng(0)
    soundfile.write(tmp_path / "audio.wav", rng.normal(0, 0.1, 32_000), 16_000)
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```$", card_of(experiment, directory).content, re.DOTALL | re.MULTILINE)
    titles = re.findall(r"^### (.*)$", card_of(experiment, directory).content, re.MULTILINE)
    assert sorted(titles) == ["CTranslate2", "The adapter alone, with PEFT", "faster-whisper", "transformers"]
    own = {"adapter": "The adapter alone, with PEFT", "merged": "transformers", "ct2_int8": "faster-whisper"}
    assert titles[0] == own[directory]
    chosen = {"adapter": [0], "merged": [0], "ct2_int8": [0, 1]}[directory]  # the rest is the same in all cards
    for index in chosen:
        exec(compile(blocks[index], f"{directory}: {titles[index]}", "exec"), {})
        lines = capsys.readouterr().out.splitlines()
        assert [line.split(" ")[0] for line in lines if line.startswith("trans")] == ["transcribe", "translate"]


def test_the_adapter_loads_where_this_repository_is_not(experiment: Path, exported_tiny: ExportedTiny,
                                                        tmp_path: Path) -> None:
    """PEFT itself, told nothing but the adapter's directory, in a process that cannot see utils/."""
    code = ("import sys; from peft import AutoPeftModel; model = AutoPeftModel.from_pretrained(sys.argv[1]); "
            "print(type(model.base_model.model).__name__, type(model.base_model.model).__module__)")
    done = subprocess.run([sys.executable, "-c", code, experiment], cwd=tmp_path, capture_output=True, text=True,
                          timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["WhisperForConditionalGeneration", "transformers.models.whisper.modeling_whisper"]
    config = json.loads((experiment / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(exported_tiny.base)


@pytest.mark.parametrize("encoder", [True, False])
def test_the_adapters_layers_are_a_plain_list_of_the_same_layers(exported_tiny: ExportedTiny, tmp_path: Path,
                                                                 encoder: bool) -> None:
    """vLLM and other servers take no regular expression; PEFT must load every weight, and add none."""
    options = LoraOptions(r=2, alpha=2, dropout=0.0, encoder=encoder, target_modules=["q_proj", "fc1"])
    model = add_lora(load_base_model(exported_tiny.base), options)
    model.save_pretrained(str(tmp_path))
    make_adapter_portable(tmp_path, str(exported_tiny.base))
    layers = json.loads((tmp_path / "adapter_config.json").read_text())["target_modules"]
    assert layers == ["fc1", "q_proj"] if encoder else all(".decoder." in name for name in layers)
    loaded = PeftModel.from_pretrained(load_base_model(exported_tiny.base), tmp_path)
    assert {name for name, _ in loaded.named_parameters() if "lora_" in name} == {
        name for name, _ in model.named_parameters() if "lora_" in name}


def test_the_header_is_what_the_hub_reads(experiment: Path, exported_tiny: ExportedTiny, tmp_path: Path) -> None:
    exp_dir = tmp_path / "demo"
    shutil.copytree(experiment, exp_dir)
    run_script(exp_dir, "--base-dir", exported_tiny.base, "--base-model", "openai/whisper-base", "--corpus-name",
               "prompts", "--repo", "me/whisper-demo")
    for directory, library, system in zip(DIRECTORIES, ("peft", "transformers", "ctranslate2"),
                                          ("lora", "lora", "ct2-int8"), strict=True):
        card = card_of(exp_dir, directory)
        header = card.data.to_dict()
        assert header["base_model"] == "openai/whisper-base" and header["library_name"] == library
        assert header["language"] == ["en", "fr", "ru"] and header["license"] == "mit"
        assert header["pipeline_tag"] == "automatic-speech-recognition"
        scores = {(row["metric"], row["language"]): row for row in
                  json.loads((exp_dir / f"decode_test_{system}/scores.json").read_text())
                  if row["normalizer"] != "none"}
        results = {(result.metric_type, result.dataset_config): result for result in card.data.eval_results}
        assert {("wer", "fr"), ("wer", "all"), ("bleu", "ru")} <= results.keys()
        for figure, result in results.items():
            low, high = scores[figure]["ci95"]
            assert result.metric_value == round(scores[figure]["value"], 2)
            assert f"95 % interval {low:.1f} to {high:.1f}" in result.metric_name
            assert result.task_type == ("translation" if figure[0] == "bleu" else "automatic-speech-recognition")
        assert "English, French, Russian" in card.content and "transcribe, translate" in card.content
        assert "CC BY-SA 3.0" in card.content and "MIT, (c) 2022 OpenAI" in card.content
        assert "Word times are as good as" in card.content
        assert 'WhisperModel("me/whisper-demo-ct2-int8")' in card.content
        assert str(exp_dir) not in card.content  # nothing of this machine
    config = json.loads((exp_dir / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "openai/whisper-base"
    uploads = {upload.repo: {path.name for path in upload.files} for upload in plan(exp_dir, "me/whisper-demo")}
    assert uploads.keys() == {"me/whisper-demo-lora", "me/whisper-demo", "me/whisper-demo-ct2-int8"}
    assert uploads["me/whisper-demo-lora"] == {"README.md", "adapter_config.json", "adapter_model.safetensors"}
    assert {"model.bin", "tokenizer.json", "preprocessor_config.json", "generation_config.json",
            "vocabulary.json", "config.json", "README.md"} == uploads["me/whisper-demo-ct2-int8"]


def test_what_is_not_known_is_not_claimed(experiment: Path) -> None:
    header = card_of(experiment, "merged").data.to_dict()
    assert "base_model" not in header  # a directory of this machine is not a name on the hub
    assert header["license"] == "other"
    assert "whoever publishes it must say" in card_of(experiment, "merged").content


def test_the_base_models_name_is_that_of_stage_0(tmp_path: Path) -> None:
    assert base_model_name(tmp_path) == str(tmp_path)
    (tmp_path / ".origin").write_text("openai/whisper-small\n")
    assert base_model_name(tmp_path) == "openai/whisper-small"
    assert Origin("openai/whisper-small").hub_licence == "mit"
    assert Origin("me/other").hub_licence == "other" and Origin("me/other", "apache-2.0").hub_licence == "apache-2.0"


def test_an_upload_needs_cards_with_its_name(experiment: Path, exported_tiny: ExportedTiny, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"README\.md does not say how to use me/other-lora.*--repo me/other"):
        plan(experiment, "me/other")
    with pytest.raises(UserError, match="neither an adapter nor an export"):
        plan(tmp_path, "me/other")
    with pytest.raises(UserError, match=r"'other' is not a name on the hub: give USER/NAME"):
        open_experiment(experiment, exported_tiny.base, Origin("a/b"), experiment / "train_text", tmp_path, "other")


def test_cards_replace_pefts_empty_one(exported_tiny: ExportedTiny, experiment: Path) -> None:
    assert "More Information Needed" in (exported_tiny.adapter / "README.md").read_text()
    assert "More Information Needed" not in (experiment / "README.md").read_text()
