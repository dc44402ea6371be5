"""Whole trainings of a tiny model: their outputs, refused settings, and continuing after interruptions."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from utils import ROOT
from utils.config import Config, load_config
from utils.data.tokenizer import repair_files
from utils.errors import UserError
from utils.export import merge
from utils.model.modeling import ShortContextEncoder
from utils.report.sentences import training_warnings
from utils.train.encoder_cache import EncoderCache
from utils.train.finetune import tune
from utils.train.records import training_history
from utils.train.resume import last_complete_checkpoint

pytestmark = pytest.mark.usefixtures("one_thread")

ADAPTER = "adapter_model.safetensors"

# 8 utterances with two targets each, two a batch: 4 steps an epoch.
ARGV = {"per_device_train_batch_size": 2, "max_steps": 4, "learning_rate": 0.01, "lr_scheduler_type": "constant",
        "logging_steps": 1, "eval_strategy": "steps", "eval_steps": 2, "use_cpu": True}


def out(config: Config) -> Path:
    return Path(config.model.model_train_argv["out_model_path"])


def history(directory: Path, name: str) -> list[float]:
    """A figure as the last checkpoint logged it, step by step."""
    state = json.loads((last_complete_checkpoint(directory) / "trainer_state.json").read_text())
    return [entry[name] for entry in state["log_history"] if name in entry]


def assert_same_weights(one: Path, other: Path) -> None:
    left, right = load_file(one), load_file(other)
    assert left.keys() == right.keys()
    assert [name for name in left if not torch.equal(left[name], right[name])] == []


def test_training_lowers_the_loss_and_leaves_what_it_promises(recipe: Any) -> None:
    from PIL import Image
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = recipe(max_steps=12)
    tune(config)
    directory = out(config)
    dev, train = history(directory, "eval_loss"), history(directory, "loss")
    assert len(dev) == 6 and len(train) == 12
    assert dev[-1] < 0.9 * dev[0] and train[-1] < 0.8 * train[0]
    kept = training_history(directory)  # what reports draw, whether or not checkpoints are still there
    assert [entry["eval_loss"] for entry in kept if "eval_loss" in entry] == dev
    assert [entry["loss"] for entry in kept if "loss" in entry] == train
    with Image.open(directory / "loss.png") as curve:
        curve.load()
        assert curve.format == "PNG" and min(curve.size) > 300
    events = EventAccumulator(str(next((directory / "runs").glob("**/events.*")).parent))
    events.Reload()
    assert [event.value for event in events.Scalars("eval/loss")] == pytest.approx(dev)
    assert load_config(directory / "config.yaml") == config
    adapter = json.loads((directory / "adapter_config.json").read_text())
    assert (adapter["r"], adapter["lora_alpha"], adapter["task_type"]) == (4, 8, None)
    summary = json.loads((directory / "train_summary.json").read_text())
    counts = {name: summary[name] for name in ("steps", "epochs", "n_train_audios", "n_train_targets")}
    assert counts == {"steps": 12, "epochs": 3, "n_train_audios": 8, "n_train_targets": 16}
    assert summary["trainable_parameters"] == sum(weight.numel() for weight in load_file(directory / ADAPTER).values())
    assert summary["best_dev_loss"] == min(dev) and summary["train_seconds"] > 0


# Runs the command and dies, as by a power cut, in the middle of the step after global step argv[2].
KILLED = """
import os, signal, sys
from utils.config import load_config
from utils.train.trainer import MultitaskTrainer
from utils.train.finetune import tune
step = MultitaskTrainer.training_step
def fatal(self, *args, **kwargs):
    loss = step(self, *args, **kwargs)
    if self.state.global_step == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    return loss
MultitaskTrainer.training_step = fatal
tune(load_config(sys.argv[1]))
"""


def test_killed_run_goes_on_and_ends_with_the_same_weights(recipe: Any, tmp_path: Path) -> None:
    """With dropout, accumulation and a falling learning rate, any state missing in a checkpoint changes the result."""
    settings = {"max_steps": -1, "num_train_epochs": 3, "eval_steps": 3, "lr_scheduler_type": "linear",
                "gradient_accumulation_steps": 2, "per_device_train_batch_size": 1,
                "model": {"lora": {"r": 4, "alpha": 8, "dropout": 0.1}}}
    whole, killed = recipe("whole", **settings), recipe("killed", **settings)
    tune(whole)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    run = subprocess.run([sys.executable, "-c", KILLED, tmp_path / "killed.yaml", "7"], env=environment,
                         capture_output=True, text=True, timeout=120)
    assert run.returncode == -signal.SIGKILL, run.stderr
    assert last_complete_checkpoint(out(killed)).name == "checkpoint-6"  # of 12 steps, in the middle of epoch 2
    shutil.copytree(out(killed) / "checkpoint-6", out(killed) / "checkpoint-9")  # one that was being written
    (out(killed) / "checkpoint-9/trainer_state.json").write_text('{"epoch":')
    (out(killed) / "checkpoint-9" / ADAPTER).write_bytes(b"")
    assert not (out(killed) / "train_summary.json").exists()

    tune(killed)
    assert_same_weights(out(killed) / ADAPTER, out(whole) / ADAPTER)
    for name in ("loss", "eval_loss", "learning_rate", "step"):
        assert history(out(killed), name) == history(out(whole), name), name


def test_checkpoint_without_a_whole_state_is_passed_over(tmp_path: Path) -> None:
    for step, state in ((5, "{}"), (20, "{}"), (100, '{"log_history": ['), (120, None)):
        (tmp_path / f"checkpoint-{step}").mkdir()
        if state is not None:
            (tmp_path / f"checkpoint-{step}/trainer_state.json").write_text(state)
    assert last_complete_checkpoint(tmp_path) == tmp_path / "checkpoint-20"
    assert last_complete_checkpoint(tmp_path / "checkpoint-20") is None


def test_same_command_again_does_nothing_and_other_settings_are_refused(
        recipe: Any, capsys: pytest.CaptureFixture[str]) -> None:
    config = recipe(max_steps=2)
    tune(config)
    before = {path: path.stat().st_mtime_ns for path in out(config).rglob("*")}
    tune(config)
    assert "complete; nothing to do" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"other settings \(model\.lora\.r: 4 there, 8 now\).*--overwrite true"):
        tune(recipe(max_steps=2, model={"lora": {"r": 8, "alpha": 8}}))
    with pytest.raises(UserError, match=r"other settings \(model\.model_train_argv\.seed: None there, 1 now\)"):
        tune(recipe(max_steps=2, seed=1))
    assert {path: path.stat().st_mtime_ns for path in out(config).rglob("*")} == before


def test_training_of_before_the_tokenizer_was_repaired_must_be_made_again(
        recipe: Any, tiny_whisper: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = shutil.copytree(tiny_whisper, tmp_path / "base")
    config = recipe(model={"model_path": str(base)}, max_steps=1)
    tune(config)
    record = out(config) / "data.json"
    checksums = json.loads(record.read_text())
    assert len(checksums.pop("tokenizer")) == 64
    record.write_text(json.dumps(checksums))  # as trainings of before have it
    tune(config)  # the base model's tokenizer was never wrong
    assert training_warnings(out(config)) == []

    tokenizer = json.loads((base / "tokenizer.json").read_text(encoding="utf-8"))
    del tokenizer["model"]["merges"][0]
    (base / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    for _ in range(2):  # as it is, and repaired by stage 0
        with pytest.raises(UserError, match=r"used wrong tokens \(its tokenizer lacks 1 .*--overwrite true"):
            tune(config)
        warning, = training_warnings(out(config))
        assert warning.startswith("WRONG TOKENS: ") and "--overwrite true" in warning
        repair_files(base)
    capsys.readouterr()
    merge(out(config), base, tmp_path / "merged")
    assert "used wrong tokens" in capsys.readouterr().err
    tune(config, overwrite=True)
    assert "tokenizer" in json.loads(record.read_text()) and training_warnings(out(config)) == []


def test_overwrite_trains_anew_and_leaves_nothing_of_the_old_training(recipe: Any) -> None:
    tune(recipe(max_steps=2))
    whole = recipe(max_steps=1, model={"is_large_model": False}, eval_steps=1)
    (out(whole) / "log").mkdir()
    (out(whole) / "log/train.log").write_text("written by the job driver at this moment")
    tune(whole, overwrite=True)
    assert (out(whole) / "model.safetensors").exists()
    assert not list(out(whole).glob("adapter*"))  # or this whole model would be taken for an adapter
    assert [path.name for path in out(whole).glob("checkpoint-*")] == ["checkpoint-1"]
    assert json.loads((out(whole) / "train_summary.json").read_text())["steps"] == 1
    assert (out(whole) / "log/train.log").exists()


def test_a_training_on_other_data_is_neither_passed_over_nor_continued(recipe: Any, corpus: Path,
                                                                       tmp_path: Path) -> None:
    """Labels of another teacher, or features dumped anew, under the same paths."""
    config = recipe(max_steps=2, eval_steps=1)
    text = shutil.copy(corpus / "train/text", tmp_path / "text")
    config.data.train.text = str(text)
    tune(config)
    (out(config) / "train_summary.json").unlink()  # interrupted, as far as anybody can see
    Path(text).write_text(Path(text).read_text("utf-8").replace("hello", "goodbye"), "utf-8")
    with pytest.raises(UserError, match=r"a training on other data \(.*/text changed since\).*--overwrite true"):
        tune(config)
    tune(config, overwrite=True)
    steps = [entry["step"] for entry in training_history(out(config)) if "loss" in entry]
    assert steps == [1, 2]
    before = (out(config) / ADAPTER).stat().st_mtime_ns
    (out(config) / "train_summary.json").unlink()
    (out(config) / ADAPTER).unlink()
    tune(config, overwrite=True)  # the same training, not yet finished: it goes on
    assert (out(config) / ADAPTER).stat().st_mtime_ns > before
    assert len(json.loads((out(config) / "environment.json").read_text())) == 2


def test_weights_that_were_changed_or_are_gone_are_noticed(recipe: Any) -> None:
    config = recipe(max_steps=1, eval_steps=1)
    tune(config)
    adapter = out(config) / ADAPTER
    good = adapter.read_bytes()
    adapter.unlink()
    tune(config)
    assert adapter.read_bytes() == good
    adapter.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    with pytest.raises(UserError, match=r"safetensors was changed since its training ended.*--overwrite"):
        tune(config)


def test_the_whole_environment_is_kept(recipe: Any) -> None:
    config = recipe(max_steps=1, eval_strategy="no")
    tune(config)
    kept, = json.loads((out(config) / "environment.json").read_text())
    assert kept["packages"]["torch"] == torch.__version__ and len(kept["packages"]) > 20
    assert {"date", "commit", "command", "host", "system", "machine", "torch", "variables"} <= kept.keys()
    assert "HOME" not in kept["variables"]  # only those that are known to be harmless


def test_checkpoints_of_an_unknown_training_are_not_continued(recipe: Any) -> None:
    config = recipe(max_steps=2)
    tune(config)
    (out(config) / "config.yaml").unlink()
    with pytest.raises(UserError, match=r"checkpoint-2.*no config\.yaml.*--overwrite true"):
        tune(config)


def test_training_starts_from_the_checkpoint_that_the_user_names(recipe: Any) -> None:
    first = recipe("first", max_steps=2)
    tune(first)
    checkpoint = str(out(first) / "checkpoint-2")
    tune(recipe("second", resume_from_checkpoint=checkpoint))
    tune(recipe("straight"))
    assert_same_weights(out(recipe("second")) / ADAPTER, out(recipe("straight")) / ADAPTER)
    with pytest.raises(UserError, match=r"resume_from_checkpoint: no checkpoint .*absent"):
        tune(recipe("third", resume_from_checkpoint=checkpoint + "/absent"))


@pytest.mark.parametrize("trainable", [True, False])
def test_lora_that_trains_all_or_nothing_is_refused(recipe: Any, monkeypatch: pytest.MonkeyPatch,
                                                    trainable: bool) -> None:
    monkeypatch.setattr("utils.train.finetune.add_lora", lambda model, _: model.requires_grad_(trainable))
    with pytest.raises(UserError, match="parameters would train"):
        tune(recipe())
    assert not out(recipe()).exists()


@pytest.mark.parametrize(("cut", "complaint"), [("text", "no line for .*text"), ("wav_scp", "is not in .*cut")])
def test_keys_in_one_list_only_are_refused(recipe: Any, corpus: Path, tmp_path: Path, cut: str, complaint: str) -> None:
    """Training on the keys that both lists have would drop the others without a message."""
    config = recipe()
    lines = Path(getattr(config.data.train, cut)).read_text(encoding="utf-8").splitlines(keepends=True)
    (tmp_path / "cut").write_text("".join(lines[1:]), encoding="utf-8")
    setattr(config.data.train, cut, str(tmp_path / "cut"))
    with pytest.raises(UserError, match=rf"(?s){complaint}") as refused:
        tune(config)
    assert "train-chinese-00|chinese|transcribe" in str(refused.value)


def test_lora_without_target_modules_is_refused(recipe: Any) -> None:
    with pytest.raises(UserError, match=r"model\.lora\.target_modules"):
        tune(recipe(model={"lora": {"target_modules": []}}))


@pytest.mark.parametrize("is_large_model", [True, False])
def test_best_checkpoint_is_what_is_saved(recipe: Any, is_large_model: bool) -> None:
    """The rate rises until the model falls apart, so the last checkpoint is not the best."""
    config = recipe(max_steps=4, lr_scheduler_type="constant_with_warmup", warmup_steps=4, learning_rate=2.0,
                    eval_steps=1, save_total_limit=4, model={"is_large_model": is_large_model})
    tune(config)
    summary = json.loads((out(config) / "train_summary.json").read_text())
    dev = history(out(config), "eval_loss")
    assert summary["best_step"] == 1 + dev.index(min(dev)) < 4
    weights = ADAPTER if is_large_model else "model.safetensors"
    assert_same_weights(out(config) / weights, out(config) / f"checkpoint-{summary['best_step']}" / weights)
    assert not torch.equal(*(next(iter(load_file(path / weights).values()))
                             for path in (out(config), out(config) / "checkpoint-4")))


def test_full_fine_tuning_trains_all_weights_and_saves_what_others_load(
        recipe: Any, tiny_whisper: Path, tmp_path: Path) -> None:
    from ctranslate2.converters import TransformersConverter
    from faster_whisper import WhisperModel
    from transformers import WhisperForConditionalGeneration, WhisperProcessor

    config = recipe(max_steps=4, learning_rate=1e-3, model={"is_large_model": False})
    tune(config)
    dev = history(out(config), "eval_loss")
    assert dev[-1] < dev[0]
    summary = json.loads((out(config) / "train_summary.json").read_text())
    assert summary["trainable_parameters"] >= 0.9 * summary["total_parameters"]
    tuned, loading = WhisperForConditionalGeneration.from_pretrained(out(config), output_loading_info=True)
    assert not loading["missing_keys"] and not loading["unexpected_keys"]
    assert tuned.config.architectures == ["WhisperForConditionalGeneration"]
    assert WhisperProcessor.from_pretrained(out(config)).feature_extractor.feature_size == 80
    before, after = load_file(tiny_whisper / "model.safetensors"), load_file(out(config) / "model.safetensors")
    assert before.keys() == after.keys()
    same = [name for name in before if torch.equal(before[name], after[name])]
    assert same in ([], ["model.encoder.embed_positions.weight"])  # Whisper's sinusoids are fixed
    TransformersConverter(str(out(config)), copy_files=["tokenizer.json", "preprocessor_config.json"]).convert(
        str(tmp_path / "ct2"))
    assert WhisperModel(str(tmp_path / "ct2"), device="cpu").model.is_multilingual


def test_accumulating_two_batches_is_the_same_update_as_one_batch(recipe: Any) -> None:
    """Every token counts the same, although the batches hold different numbers of them."""
    settings = {"max_steps": 1, "num_train_epochs": 1, "optim": "sgd", "learning_rate": 0.1, "max_grad_norm": 0.0,
                "eval_steps": 1, "model": {"lora": {"r": 4, "alpha": 8}, "padding": {"policy": "none"}}}
    one = recipe("one", per_device_train_batch_size=8, **settings)
    two = recipe("two", per_device_train_batch_size=4, gradient_accumulation_steps=2, **settings)
    tune(one)
    tune(two)
    left, right = load_file(out(one) / ADAPTER), load_file(out(two) / ADAPTER)
    assert max(weight.abs().max() for name, weight in left.items() if "lora_B" in name) > 1e-4
    for name, weight in left.items():
        torch.testing.assert_close(weight, right[name], rtol=1e-4, atol=1e-7)


def test_the_seed_decides_the_result_bit_by_bit_and_loader_workers_do_not(recipe: Any) -> None:
    for name, argv in (("one", {}), ("again", {}), ("workers", {"dataloader_num_workers": 2}), ("other", {"seed": 1})):
        tune(recipe(name, model={"lora": {"r": 4, "alpha": 8, "dropout": 0.1}}, **argv))
    adapters = {name: out(recipe(name)) / ADAPTER for name in ("one", "again", "workers", "other")}
    assert_same_weights(adapters["one"], adapters["again"])
    assert_same_weights(adapters["one"], adapters["workers"])
    assert adapters["one"].read_bytes() == adapters["again"].read_bytes()
    assert load_file(adapters["one"]).keys() == load_file(adapters["other"]).keys()
    with pytest.raises(AssertionError):
        assert_same_weights(adapters["one"], adapters["other"])


@pytest.mark.parametrize("encoder", [True, False])
def test_gradient_checkpointing_saves_memory_and_changes_nothing(recipe: Any, encoder: bool) -> None:
    lora = {"r": 4, "alpha": 8, "encoder": encoder}
    plain = recipe("plain", {"lora": lora})
    frugal = recipe("frugal", {"lora": lora}, gradient_checkpointing=True)
    tune(plain)
    tune(frugal)
    left, right = load_file(out(plain) / ADAPTER), load_file(out(frugal) / ADAPTER)
    assert left.keys() == right.keys()
    for name in left:
        torch.testing.assert_close(left[name], right[name], rtol=1e-4, atol=1e-6)


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bool, int, int]]:
    """Of each encoder pass: whether it is one of training, how many utterances it takes, how many frames of each."""
    seen: list[tuple[bool, int, int]] = []
    forward = ShortContextEncoder.forward

    def look(self: ShortContextEncoder, features: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        seen.append((self.training, len(features), features.shape[2]))
        return forward(self, features, *args, **kwargs)

    monkeypatch.setattr(ShortContextEncoder, "forward", look)
    return seen


def test_the_development_set_has_the_silence_that_decoding_adds(recipe: Any, encoded: list[Any]) -> None:
    """The loss must be computed at the windows that decoding uses."""
    lengths = []
    for tail_frames in (0, 40):
        encoded.clear()
        config = recipe(f"tail{tail_frames}", {"padding": {"policy": "none"}}, max_steps=1, eval_steps=1)
        config.predict.tail_frames = tail_frames
        tune(config)
        lengths.append([frames for training, _, frames in encoded if not training])
    assert lengths[0] and lengths[1] == [frames + 40 for frames in lengths[0]]


def test_a_batch_at_the_full_window_is_computed_in_parts(recipe: Any, encoded: list[Any]) -> None:
    adapters = []
    for budget, expected in ((60000, [4, 4]), (4000, [2, 2, 2, 2])):  # twice 4000 frames are two full windows
        encoded.clear()
        config = recipe(f"budget{budget}", {"padding": {"policy": "full"}, "batch": {"max_frames": budget}},
                        max_steps=2, per_device_train_batch_size=4, eval_strategy="no", optim="sgd",
                        learning_rate=0.1)
        tune(config)
        assert [count for _, count, _ in encoded] == expected
        adapters.append(load_file(out(config) / ADAPTER))
    for name, weight in adapters[0].items():
        torch.testing.assert_close(adapters[1][name], weight, rtol=1e-4, atol=1e-6)


def test_long_silence_is_not_computed(recipe: Any, encoded: list[Any]) -> None:
    tune(recipe("out", {"padding": {"full_window_share": 1.0, "silence_positions": 16}}, max_steps=2,
                eval_strategy="no"))
    assert encoded and all(frames < 1000 for _, _, frames in encoded)


def test_a_frozen_encoder_runs_once_for_each_batch_of_all_epochs(recipe: Any, encoded: list[Any],
                                                               monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"lora": {"r": 4, "alpha": 8, "encoder": False}, "cache_encoder": True,
               "padding": {"full_window_share": 0.5, "silence_positions": 16}}
    argv = {"max_steps": 12, "eval_strategy": "no"}
    kept = recipe("kept", options, **argv)
    tune(kept)
    assert sum(count for _, count, _ in encoded) == 8  # utterances, three epochs of them
    # The same batches with the encoder at work each time give the same adapter.
    monkeypatch.setattr(EncoderCache, "__call__",
                        lambda self, batch_id, *inputs: self._encoder(inputs[0], silence=inputs[1]).last_hidden_state)
    anew = recipe("anew", options, **argv)
    tune(anew)
    assert sum(count for _, count, _ in encoded) == 8 + 3 * 8
    assert_same_weights(out(kept) / ADAPTER, out(anew) / ADAPTER)


def test_outputs_of_an_encoder_that_trains_are_not_kept(recipe: Any) -> None:
    with pytest.raises(UserError, match=r"cache_encoder: .*set model\.lora\.encoder: false"):
        tune(recipe("out", {"cache_encoder": True}))
