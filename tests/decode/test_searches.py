"""Beam search and greedy search of a set from one encoder pass; a checkpoint decoded by CTranslate2."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from utils import ROOT
from utils.config import Config, Lists, load_config
from utils.data.lists import read_list
from utils.data.tokenizer import load_tokenizer
from utils.decode.batches import decode_searches, decode_set, plan_batches
from utils.decode.decode_directory import join_decode_parts, read_decode_info
from utils.decode.predict import Share, predict
from utils.decode.transformers_decoder import TransformersDecoder
from utils.errors import UserError
from utils.features.feature_set import Utterance
from utils.model.checkpoints import load_base_model

UTTERANCES = [Utterance("310", 310, ["a|fr|transcribe", "a|fr|translate"]),
              Utterance("300", 300, ["c|ru|transcribe", "c|de|transcribe"])]


def feats_of(source: str) -> np.ndarray:
    return (np.random.default_rng(int(source)).normal(size=(int(source), 80)) * 0.5).astype(np.float32)


def test_one_encoder_pass_serves_beam_search_and_greedy_search(tiny_whisper: Path) -> None:
    model, tokenizer = load_base_model(tiny_whisper), load_tokenizer(tiny_whisper)
    shapes: list[tuple[int, ...]] = []
    model.model.encoder.register_forward_hook(lambda _, inputs, output: shapes.append(tuple(inputs[0].shape)))
    batches = plan_batches(UTTERANCES, 700, "short")
    found = decode_searches(TransformersDecoder(model, tokenizer), feats_of, batches, [4, 1])
    assert shapes == [(2, 80, 310)]
    alone = {size: decode_set(TransformersDecoder(model, tokenizer, size), feats_of, batches) for size in (4, 1)}
    assert {size: of.hypotheses for size, of in found.items()} == {size: of.hypotheses for size, of in alone.items()}
    assert found[4].hypotheses != found[1].hypotheses  # else this test could not fail
    assert found[4].seconds > found[1].seconds > 0  # both have the encoder's share


@pytest.fixture
def config(tiny_whisper: Path, corpus: Path) -> Config:
    """Decoding of the made corpus with the tiny model, which is base and tuned model in one."""
    found = load_config(ROOT / "conf/whisper_multitask.yaml", [
        f"predict.model_path={tiny_whisper}", "predict.beam_size=3"])
    found.predict.eval = Lists(wav_scp=str(corpus / "dev/wav.scp"), text=str(corpus / "dev/text"))
    return found


def decoded(config: Config, directory: Path, **changes: Any) -> dict[str, Any]:
    """Texts and decode.json of each decode directory below ``directory``, by its name."""
    for name, value in changes.items():
        setattr(config.predict, name, value)
    predict(config, directory / "decode_test_base", "base", "test")
    return {path.name: (read_list(path / "text", allow_empty=True), read_decode_info(path))
            for path in sorted(directory.iterdir())}


def test_greedy_search_is_a_system_of_its_own_beside_beam_search(config: Config, tmp_path: Path) -> None:
    found = decoded(config, tmp_path, backend="transformers")
    assert [*found] == ["decode_test_base", "decode_test_base-greedy"]
    assert [(info["system"], info["beam_size"]) for _, info in found.values()] == [("base", 3), ("base-greedy", 1)]
    assert found["decode_test_base"][0].keys() == found["decode_test_base-greedy"][0].keys()
    config.predict.also_greedy, config.predict.beam_size = False, 1
    assert predict(config, tmp_path / "alone") == found["decode_test_base-greedy"][0]


@pytest.mark.parametrize("changes", [{"also_greedy": False}, {"beam_size": 1}])
def test_without_it_there_is_one_directory(config: Config, tmp_path: Path, changes: dict[str, Any]) -> None:
    assert [*decoded(config, tmp_path, backend="transformers", **changes)] == ["decode_test_base"]


def test_ctranslate2_decodes_a_checkpoint_as_transformers_does(config: Config, tmp_path: Path) -> None:
    ours = decoded(config, tmp_path / "transformers", backend="transformers", max_frames=4000)
    theirs = decoded(config, tmp_path / "ctranslate2", backend="ctranslate2", max_frames=4000)
    greedy = "decode_test_base-greedy"
    assert theirs[greedy][0] == ours[greedy][0]
    assert [info["backend"] for _, info in theirs.values()] == ["ctranslate2"] * 2
    left = [path.name for path in (tmp_path / "ctranslate2/decode_test_base").iterdir()]
    assert sorted(left) == ["decode.json", "text"]  # and no converted model


def test_jobs_share_both_searches(config: Config, tmp_path: Path) -> None:
    whole = decoded(config, tmp_path / "whole", backend="transformers")
    for job in (1, 2):
        predict(config, tmp_path / "decode_test_base", "base", "test", Share(job, 2))
    for name, (texts, info) in whole.items():
        join_decode_parts(tmp_path / name, 2)
        assert read_list(tmp_path / name / "text", allow_empty=True) == texts
        assert read_decode_info(tmp_path / name)["system"] == info["system"]


def test_a_model_that_cannot_be_converted_is_one_line_and_leaves_nothing(config: Config, tmp_path: Path) -> None:
    config.predict.model_path = str(tmp_path / "empty")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty"):
        decoded(config, tmp_path / "out", backend="ctranslate2")
    assert not (tmp_path / "out/decode_test_base").exists()
