"""Use as in the parent project: its lists, its YAML, its three steps and its call, from any directory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from made_corpus import SPACED, cat_tasks, write_set

from utils.data.lists import read_list

ROOT = Path(__file__).resolve().parents[1]

# The keys, the order and the spelling of the parent project's own files.
PARENT_YAML = """\
data:
  train:
    wav_scp: "{work}/train/wav.scp"
    text: "{work}/train/text"
  test:
    wav_scp: "{work}/dev/wav.scp"
    text: "{work}/dev/text"

predict:
  model_path: "{work}/trained model"
  result_file: "{work}/result"
  eval:
    wav_scp: "{work}/dev/wav.scp"
    text: "{work}/dev/text"

dev_env:
  ori_model_path: "{model}"
  ctranslate_model_path: "{work}/trained model ct2"
  conf:
    device: "cpu"
    compute_type: "float32"
  result_file: "{work}/result_ct2"
  dev:
    wav_scp: "{work}/dev/wav.scp"
    text: "{work}/dev/text"

model:
  model_path: "{model}"
  is_large_model: True
  data_collator:
    forward_attention_mask: False
  model_train_argv:
    out_model_path: "{work}/trained model"
    resume_from_checkpoint : ""
    per_device_train_batch_size: 2
    per_device_eval_batch_size: 1
    gradient_accumulation_steps: 1
    num_train_epochs: 1
    learning_rate: 0.001
    logging_steps: 2
    fp16: False
    warmup_steps: 2
    evaluation_strategy: "epoch"
    generation_max_length: 128
    remove_unused_columns: False
    label_names:
      - labels
"""


def run(script: str, work: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A script as the parent's users start it: another directory, no path.sh."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run([sys.executable, ROOT / "pyscripts" / script, "--config", "config.yaml", *arguments],
                          cwd=work, env=environment | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
                          timeout=600)


def prepare(work: Path, tiny_whisper: Path) -> Path:
    for name, count in (("train", 3), ("dev", 2)):
        cat_tasks(write_set(work / name, count, form=SPACED, word_seconds=3.0))
    (work / "config.yaml").write_text(PARENT_YAML.format(work=work, model=tiny_whisper), encoding="utf-8")
    return work


@pytest.mark.slow
def test_train_predict_export(tiny_whisper: Path, tmp_path: Path) -> None:
    work = prepare(tmp_path / "my work", tiny_whisper)
    first_line = (work / "train/wav.scp").read_text(encoding="utf-8").splitlines()[0]
    assert first_line == f"train-chinese-00 | chinese | transcribe -> {work}/train/audio/train-chinese-00.wav"

    for script in ("train.py", "predict.py", "export_ct2.py"):
        step = run(script, work)
        assert step.returncode == 0, step.stderr
        assert "Traceback" not in step.stderr

    assert (work / "trained model/adapter_model.safetensors").is_file()
    assert (work / "trained model ct2/model.bin").is_file()
    keys = sorted(read_list(work / "dev/text"))
    for result in ("result", "result_ct2"):
        lines = (work / result).read_text(encoding="utf-8").splitlines()
        assert [line.split(" ")[0] for line in lines] == keys  # each once, as it was written: chinese, not zh
    # No quantization was asked for: the same weights, the same words.
    assert (work / "result_ct2").read_text(encoding="utf-8") == (work / "result").read_text(encoding="utf-8")
    texts = read_list(work / "result", allow_empty=True)
    assert len(set(texts.values())) > 1


@pytest.mark.parametrize(("script", "change", "complaint"), [
    ("train.py", "data.train.wav_scp=absent.scp", "data.train.wav_scp: no file or directory absent.scp"),
    ("predict.py", "predict.result_file=", "predict.result_file is empty"),
    ("export_ct2.py", "dev_env.ctranslate_model_path=", "dev_env.ctranslate_model_path is empty"),
])
def test_mistakes_are_one_clear_line(tiny_whisper: Path, tmp_path: Path, script: str, change: str,
                                     complaint: str) -> None:
    work = prepare(tmp_path, tiny_whisper)
    step = run(script, work, "--set", f"predict.model_path={tiny_whisper}", "--set", change)
    assert step.returncode == 1
    assert complaint in step.stderr.splitlines()[-1]
    assert "Traceback" not in step.stderr
    assert {path.name for path in work.iterdir()} == {"train", "dev", "config.yaml"}
