"""Tokenizers whose merges are missing or wrong: repaired from the vocabulary, or refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import pre_tokenizers
from transformers import WhisperTokenizer

from utils.data.token_ranks import _ranked_tokens, merges_of
from utils.data.tokenizer import REPAIRED, load_tokenizer, read_tokenizer, tokens_checksum
from utils.download.base_model import get_base_model
from utils.errors import UserError

TEXT = " room 1234 of 9876543"


def edit(directory: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    path = directory / "tokenizer.json"
    tokenizer = json.loads(path.read_text(encoding="utf-8"))
    change(tokenizer)
    path.write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")
    return directory


@pytest.fixture
def model(tiny_whisper: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_whisper, tmp_path / "model")


def lose(*indices: int) -> Callable[[dict[str, Any]], None]:
    def change(tokenizer: dict[str, Any]) -> None:
        for index in indices:
            tokenizer["model"]["merges"][index] = None
        tokenizer["model"]["merges"] = [merge for merge in tokenizer["model"]["merges"] if merge]

    return change


def stock_ids(directory: Path, text: str) -> list[int]:
    """The token ids of a text in programs that read the tokenizer files themselves."""
    return WhisperTokenizer.from_pretrained(directory)(text, add_special_tokens=False).input_ids


def test_merges_follow_from_the_vocabulary() -> None:
    tokens = [*map(chr, range(256)), "ab", "cd", "abcd", "abc"]
    assert merges_of(tokens) == [("a", "b"), ("c", "d"), ("ab", "cd"), ("ab", "c")]
    with pytest.raises(UserError, match="'xyz' with the id 260 is not made of two earlier ones"):
        merges_of([*tokens, "xyz"])


@pytest.mark.parametrize("lost", [[0], [1], [1, 12, 123], [-1]])
def test_missing_merges_are_put_back_and_told(tiny_whisper: Path, model: Path, lost: list[int],
                                              capsys: pytest.CaptureFixture[str]) -> None:
    edit(model, lose(*lost))
    found = load_tokenizer(model)
    right = load_tokenizer(tiny_whisper)
    numbers = " ".join(f" {number}" for number in (0, 1, 12, 123, 50000))
    assert found(numbers).input_ids == right(numbers).input_ids
    assert tokens_checksum(found) == tokens_checksum(right)
    said = capsys.readouterr().err
    assert f"{model}: its tokenizer lacks {len(lost)} of 50,000 merges" in said
    assert "huggingface" not in said and len(said.splitlines()) == 1


def test_merges_in_another_order_are_put_right(tiny_whisper: Path, model: Path) -> None:
    edit(model, lambda tokenizer: tokenizer["model"]["merges"].reverse())
    tokenizer, fault = read_tokenizer(model)
    assert "not in the order of its vocabulary" in fault
    assert tokens_checksum(tokenizer) == tokens_checksum(load_tokenizer(tiny_whisper))


def swap_two_tokens(tokenizer: dict[str, Any]) -> None:
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary["Ġ1"], vocabulary["Ġ1234"] = vocabulary["Ġ1234"], vocabulary["Ġ1"]


def swap_two_bytes(tokenizer: dict[str, Any]) -> None:
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]


def space_first(tokenizer: dict[str, Any]) -> None:
    tokenizer["pre_tokenizer"]["add_prefix_space"] = True


def composed(tokenizer: dict[str, Any]) -> None:
    tokenizer["normalizer"] = {"type": "NFC"}


@pytest.mark.parametrize(("change", "complaint"), [
    (swap_two_tokens, "not made of two earlier ones"), (swap_two_bytes, "not the bytes in Whisper's order"),
    (space_first, "does not split text as Whisper"), (composed, "does not split text as Whisper"),
])
def test_what_cannot_be_repaired_is_refused(model: Path, change: Callable[[dict[str, Any]], None],
                                            complaint: str) -> None:
    edit(model, change)
    with pytest.raises(UserError, match=complaint) as caught:
        load_tokenizer(model)
    assert str(caught.value).startswith(f"{model}: ") and "tokenizer.json" in str(caught.value)


def test_stage_0_leaves_a_directory_of_the_users_as_it_is_and_links_its_other_files(
        model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    right = stock_ids(model, TEXT)
    edit(model, lose(0, 1))
    before, wrong = (model / "tokenizer.json").read_bytes(), stock_ids(model, TEXT)
    assert wrong != right
    target = tmp_path / "download/tiny"
    for said in (["lacks 2 of 50,000 merges", "must be trained again"], []):
        get_base_model(str(model), target)
        log = capsys.readouterr().err
        assert all(words in log for words in said) and ("lacks" in log) == bool(said)
        assert stock_ids(target, TEXT) == right
    assert (model / "tokenizer.json").read_bytes() == before
    assert (target / "model.safetensors").resolve() == model / "model.safetensors"
    assert (target / REPAIRED).read_text().startswith("its tokenizer lacks 2")


def test_a_link_made_before_is_repaired_too(model: Path, tmp_path: Path) -> None:
    right = stock_ids(model, TEXT)
    edit(model, lose(0, 1))
    target = tmp_path / "tiny"
    target.symlink_to(model, target_is_directory=True)
    get_base_model(str(model), target)
    assert stock_ids(target, TEXT) == right


def test_merges_txt_is_repaired_beside_it(model: Path, tmp_path: Path) -> None:
    backend = json.loads((model / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    right = stock_ids(model, TEXT)
    lines = ["#version: 0.2", *(" ".join(merge) for merge in backend["merges"])]
    (model / "merges.txt").write_text("\n".join(lines[:1] + lines[3:]) + "\n", encoding="utf-8")
    (model / "vocab.json").write_text(json.dumps(backend["vocab"]), encoding="utf-8")
    edit(model, lose(0, 1))
    get_base_model(str(model), tmp_path / "tiny")
    assert (tmp_path / "tiny/merges.txt").read_text(encoding="utf-8").splitlines() == lines
    assert stock_ids(tmp_path / "tiny", TEXT) == right


@pytest.mark.parametrize("lost", [0, 5])
def test_the_id_that_has_no_token_is_named(lost: int) -> None:
    vocabulary = {token: index for index, token in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    vocabulary = {token: index for token, index in vocabulary.items() if index != lost}
    with pytest.raises(UserError, match=f"model: the vocabulary has no token with the id {lost};"):
        _ranked_tokens(vocabulary, 256, "model")
