"""Fixtures of the tests that train a tiny model from start to end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from utils.config import Config, load_config


@pytest.fixture(autouse=True)
def float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainings are compared to the last digits, so all CPUs compute in float32; test_precision.py has bf16."""
    monkeypatch.setattr("utils.train.arguments.bf16_gain", lambda: 1.0)
    monkeypatch.setattr("utils.train.arguments.has_fast_bf16", lambda: False)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Small matrices are fastest with one thread, and separate processes then compute the same results."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def recipe(request: pytest.FixtureRequest, corpus: Path, tiny_whisper: Path, tmp_path: Path) -> Any:
    """``recipe(name, model, **argv)``: a configuration whose results go to tmp_path/name.

    ``argv`` adds to the test module's ARGV, or replaces it.
    """
    def make(name: str = "out", model: dict[str, Any] | None = None, **argv: Any) -> Config:
        values = {
            "data": {section: {"wav_scp": str(corpus / set_ / "wav.scp"), "text": str(corpus / set_ / "text")}
                     for section, set_ in (("train", "train"), ("test", "dev"))},
            "model": {"model_path": str(tiny_whisper), "lora": {"r": 4, "alpha": 8}, **(model or {}),
                      "model_train_argv": {"out_model_path": str(tmp_path / name), "bf16": False, **request.module.ARGV,
                                               **argv}}}
        path = tmp_path / f"{name}.yaml"
        path.write_text(json.dumps(values), encoding="utf-8")  # JSON is YAML
        return load_config(path)

    return make
