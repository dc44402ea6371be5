"""The configuration: the parent project's file and ours are read; every error is one line that names the key."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from utils.config import Config, LoraOptions, load_config, require_file, save_config
from utils.errors import UserError
from utils.train.arguments import training_arguments
from utils.train.divergence import rate_warning

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = ROOT / "conf" / "whisper_multitask.yaml"
PARENT = """\
data:
  train:
    wav_scp: "/data/wav.scp"
    text: "/data/text"
  test:
    wav_scp: "/test/wav.scp"
    text: "/test/text"

predict:
  model_path: "/trained"
  result_file: "/result"
  eval:
    wav_scp: "/eval/wav.scp"
    text: "/eval/text"

dev_env:
  ori_model_path: "/whisper"
  ctranslate_model_path: "/ct2"
  conf:
    device: "cpu"
    compute_type: "float32"
  result_file: "/ct2_result"
  dev:
    wav_scp: "/dev/wav.scp"
    text: "/dev/text"

model:
  model_path: "/whisper"
  is_large_model: True
  data_collator:
    forward_attention_mask: False
  model_train_argv:
    out_model_path: "/trained"
    resume_from_checkpoint : ""
    per_device_train_batch_size: 1
    per_device_eval_batch_size: 1
    gradient_accumulation_steps: 1
    num_train_epochs: 1
    learning_rate: 0.0001
    logging_steps: 2
    fp16: False
    warmup_steps: 50
    evaluation_strategy: "epoch"
    generation_max_length: 128
    remove_unused_columns: False
    label_names:
      - labels
"""


def load(tmp_path: Path, text: str, *overrides: str) -> Config:
    path = tmp_path / "my.yaml"
    path.write_text(text, encoding="utf-8")
    return load_config(path, list(overrides))


def refusal(tmp_path: Path, text: str, *overrides: str) -> str:
    with pytest.raises(UserError) as caught:
        load(tmp_path, text, *overrides)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_shipped_file_names_every_key() -> None:
    def keys(value: object) -> object:
        return {key: keys(below) for key, below in value.items()} if isinstance(value, dict) else None

    shipped, known = yaml.safe_load(SHIPPED.read_text()), dataclasses.asdict(load_config(SHIPPED))
    assert keys(shipped) == keys(known)
    arguments = training_arguments({**known["model"]["model_train_argv"], "out_model_path": "out"}, has_dev_set=True)
    assert (arguments.eval_strategy, arguments.load_best_model_at_end) == ("steps", True)


@pytest.mark.parametrize("path", sorted((ROOT / "conf").glob("*.yaml")), ids=lambda path: path.name)
def test_presets_train_at_a_rate_that_suits_them(path: Path) -> None:
    config = load_config(path)
    arguments = training_arguments({**config.model.model_train_argv, "out_model_path": "out"}, has_dev_set=True)
    assert rate_warning(arguments.learning_rate, full_tuning=not config.model.is_large_model) == ""
    assert (path.name == "full_tuning.yaml") != config.model.is_large_model
    shipped = load_config(SHIPPED)  # but for what is trained, presets are alike
    assert (config.model.padding, config.model.batch, config.predict, config.dev_env) == (
        shipped.model.padding, shipped.model.batch, shipped.predict, shipped.dev_env)


def test_the_parent_projects_file_is_read_as_it_is(tmp_path: Path) -> None:
    config = load(tmp_path, PARENT)
    assert config.data.train.wav_scp == "/data/wav.scp"
    assert config.data.test.text == "/test/text"
    assert (config.predict.model_path, config.predict.result_file, config.predict.eval.text) == (
        "/trained", "/result", "/eval/text")
    assert (config.dev_env.ori_model_path, config.dev_env.ctranslate_model_path) == ("/whisper", "/ct2")
    assert (config.dev_env.conf.device, config.dev_env.conf.compute_type) == ("cpu", "float32")
    assert config.dev_env.dev.wav_scp == "/dev/wav.scp"
    assert config.model.is_large_model is True
    assert config.model.lora == LoraOptions()  # what the parent did not know has defaults
    arguments = training_arguments(config.model.model_train_argv, has_dev_set=True)
    assert arguments.output_dir == "/trained"
    assert (arguments.eval_strategy, arguments.save_strategy, arguments.fp16) == ("epoch", "epoch", False)
    assert (arguments.generation_max_length, arguments.logging_steps, arguments.warmup_steps) == (128, 2, 50)
    assert arguments.resume_from_checkpoint is None


def test_an_empty_file_and_empty_values_mean_the_defaults(tmp_path: Path) -> None:
    assert load(tmp_path, "") == load(tmp_path, "model:\npredict:\n  eval:\n") == Config()


def test_what_is_saved_is_read_back(tmp_path: Path) -> None:
    config = load(tmp_path, PARENT, "predict.result_file=结果 1.txt", "model.lora.target_modules=[fc1, q_proj]",
                  "model.model_train_argv.learning_rate=1e-5")
    save_config(config, tmp_path / "out" / "config.yaml")
    assert load_config(tmp_path / "out" / "config.yaml") == config


@pytest.mark.parametrize(("text", "complaint"), [
    ("modle: {}", "my.yaml: unknown key modle; did you mean model?"),
    ("model: {lora: {rank: 8, target_module: []}}", "unknown key model.lora.rank; known here: r, alpha, dropout"),
    ("model: {lora: {target_module: []}}", "did you mean model.lora.target_modules?"),
    ("data: {train: {wavscp: a}}", "unknown key data.train.wavscp; did you mean data.train.wav_scp?"),
    ("dev_env: {conf: {computetype: int8}}", "did you mean dev_env.conf.compute_type?"),
    ("5: x", "unknown key 5"),
    ("model: {lora: {r: many}}", "model.lora.r must be int, not 'many'"),
    ("model: {lora: {r: 8.5}}", "model.lora.r must be int, not 8.5"),
    ("model: {lora: {r: true}}", "model.lora.r must be int, not True"),
    ("model: {lora: {dropout: none}}", "model.lora.dropout must be float, not 'none'"),
    ("model: {lora: {target_modules: fc1}}", "model.lora.target_modules must be list[str], not 'fc1'"),
    ("model: {is_large_model: 1}", "model.is_large_model must be bool, not 1"),
    ("model: {model_train_argv: [a]}", "model.model_train_argv must be dict[str, typing.Any], not ['a']"),
    ("model: lora", "model must be a mapping of keys, not 'lora'"),
    ("[a, b]", "must be a mapping of keys, not ['a', 'b']"),
    ("predict: {model_path: 5}", "predict.model_path must be str, not 5"),
    ("predict: {window: long}", "predict.window must be one of short, full, not 'long'"),
    ("predict: {beam_size: 0}", "predict.beam_size must be at least 1, not 0"),
    ("model: {padding: {policy: some}}", "padding.policy must be one of none, constant, uniform, log-uniform, full"),
    ("model: {padding: {full_window_share: 1.5}}", "model.padding.full_window_share must lie between 0 and 1"),
    ("model: {padding: {silence_positions: -1}}", "model.padding.silence_positions must be at least 0"),
    ("model: {lora: {dropout: .nan}}", "model.lora.dropout"),
    ("model: {data_collator: {forward_attention_mask: true}}", "forward_attention_mask must be false"),
    ("model: {lora: [", "not valid YAML"),
    ("a: !!python/object/apply:os.mkdir [harm]", "not valid YAML"),
])
def test_mistakes_are_one_line_that_names_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str,
                                                  complaint: str) -> None:
    monkeypatch.chdir(tmp_path)
    message = refusal(tmp_path, text)
    assert message.startswith(f"{tmp_path}/my.yaml: ")
    assert complaint in message
    assert not (tmp_path / "harm").exists()


def test_numbers_may_be_written_as_yaml_1_1_does_not_know_them(tmp_path: Path) -> None:
    assert load(tmp_path, "model: {lora: {dropout: 1e-1}}").model.lora.dropout == 0.1
    assert load(tmp_path, "model: {lora: {dropout: 0}}").model.lora.dropout == 0.0


def test_overrides_win_and_make_sections(tmp_path: Path) -> None:
    config = load(tmp_path, "model:\n  lora: {r: 4}\n", "model.lora.r=8", "data.train.text=a b=c.txt",
                  "model.model_train_argv.max_steps=3", "model.lora.encoder=false", "predict.result_file=")
    assert config.model.lora == dataclasses.replace(LoraOptions(), r=8, encoder=False)
    assert config.data.train.text == "a b=c.txt"
    assert config.model.model_train_argv == {"max_steps": 3}
    assert config.predict.result_file == ""


@pytest.mark.parametrize(("text", "override", "complaint"), [
    ("", "model.lora.r", "--set model.lora.r: expected section.key=value"),
    ("", "=5", "--set =5: expected section.key=value"),
    ("", "model.lora.rr=5", "unknown key model.lora.rr"),
    ("model: {model_path: x}", "model.model_path.y=1", "model_path is not a section"),
    ("[a]", "model.lora.r=5", "must be a mapping"),
])
def test_wrong_overrides_are_named(tmp_path: Path, text: str, override: str, complaint: str) -> None:
    assert complaint in refusal(tmp_path, text, override)


def test_a_missing_file_or_another_encoding_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no configuration file .*whisper_multitask\.yaml is one to start from"):
        load_config(tmp_path / "none.yaml")
    (tmp_path / "latin1.yaml").write_bytes("predict: {result_file: é}".encode("latin1"))
    with pytest.raises(UserError, match=r"latin1\.yaml: cannot be read"):
        load_config(tmp_path / "latin1.yaml")


def test_required_files_are_asked_for_by_their_key(tmp_path: Path) -> None:
    assert require_file(str(tmp_path), "data.train.text") == tmp_path
    for value, complaint in (("", "data.train.text is empty; .*--set data.train.text=PATH"),
                             ("none", "data.train.text: no file or directory none")):
        with pytest.raises(UserError, match=complaint):
            require_file(value, "data.train.text")


def test_a_value_of_gigabytes_is_shown_in_a_few_words(tmp_path: Path) -> None:
    """Ten aliases of ten aliases ...: a kilobyte of YAML."""
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12))
    assert len(refusal(tmp_path, f"predict:\n  beam_size: &b {{{bomb.replace(chr(10), ',')}}}")) < 1000


@pytest.mark.parametrize("text", ["model: " + "[" * 5000, "predict: {model_path: 2001-99-99}",
                                  f"model: {{lora: {{r: {'9' * 5000}}}}}", f"model: {{lora: {{dropout: {'9' * 400}}}}}",
                                  "? [a, b]\n: c", "a: &a [*a]", '"a\\nb": c', "a: \x07"])
def test_strange_yaml_is_one_line(tmp_path: Path, text: str) -> None:
    assert len(refusal(tmp_path, text)) < 1000


VALUES = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
                      lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
                          st.sampled_from(["model", "lora", "r", "dropout", "data", "train", "text", "predict", "eval"])
                          | st.text(max_size=3) | st.integers(), inner, max_size=4), max_leaves=12)


@settings(max_examples=150, deadline=None)
@given(VALUES.map(lambda value: yaml.safe_dump(value, allow_unicode=True)) | st.text(max_size=40),
       st.lists(st.text(st.characters(exclude_categories="CZ"), max_size=12) | st.builds(
           "model.lora.{}={}".format, st.sampled_from(["r", "dropout"]), st.text(max_size=6)), max_size=2))
def test_any_file_and_any_override_is_a_configuration_or_one_line(tmp_path_factory: pytest.TempPathFactory, text: str,
                                                                  overrides: list[str]) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(text, encoding="utf-8", errors="replace")
    try:
        config = load_config(path, overrides)
    except UserError as error:
        assert "\n" not in str(error)
        return
    save_config(config, path)
    assert load_config(path) == config


def choose(config: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, ROOT / "pyscripts/choose_settings.py", "--config", config, *arguments],
                          capture_output=True, text=True, timeout=60)


def test_an_option_of_run_sh_or_else_the_key_in_the_file_is_used_and_what_is_not_is_named(tmp_path: Path) -> None:
    path = tmp_path / "my.yaml"
    path.write_text("predict: {beam_size: 5, result_file: out.txt}\ndev_env: {quantization: float16}\n"
                    "model: {model_path: large}\n", encoding="utf-8")
    keys = ["predict.beam_size", "predict.window", "dev_env.quantization"]
    empty = choose(path, "--", *(f"{key}=" for key in keys))
    assert (empty.stdout.splitlines(), empty.stderr) == (["5", "short", "float16"], "")
    same = choose(path, "--filled", "model.model_path=base", "model.model_path=large", "--", "predict.beam_size=5")
    assert (same.stdout, same.stderr) == ("5\n", "")
    options = ["--filled", "model.model_path=base", "predict.result_file=", "data.train.text=x", "--",
               "predict.beam_size=1", "predict.window=full", "dev_env.quantization=int8 float16"]
    given = choose(path, *options)
    assert given.stdout.splitlines() == ["1", "full", "int8 float16"]
    assert [line.split(") ", 1)[1] for line in given.stderr.splitlines()] == [
        f"{path}: model.model_path: large is not used; run.sh gives base",
        f"{path}: predict.result_file: out.txt is not used by run.sh",
        f"{path}: predict.beam_size: 5 is not used; run.sh gives 1",
        f"{path}: dev_env.quantization: float16 is not used; run.sh gives int8 float16"]
    assert choose(path, "--quiet", "true", *options).stderr == ""
