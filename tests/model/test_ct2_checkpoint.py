"""CTranslate2 directories converted back to Hugging Face: same weights, same ids, same hypotheses."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path

import pytest
import torch
from runtimes import generated_by_ct2, generated_by_hf
from tiny_whisper import make_tiny_whisper

from utils.errors import UserError
from utils.model.ct2_binary import read_ct2_variables
from utils.model.ct2_to_hf import convert_ct2_to_hf


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Whisper of one narrow decoder layer, whose sizes can all be told apart."""
    return make_tiny_whisper(
        tmp_path_factory.mktemp("original"), seed=3, std=0.5, d_model=16, encoder_layers=2, decoder_layers=1,
        max_source_positions=50, encoder_attention_heads=2, decoder_attention_heads=4, encoder_ffn_dim=24,
        decoder_ffn_dim=40)


def to_ct2(original: Path, target: Path, quantization: str) -> Path:
    """What the CTranslate2 converter writes, with the tokenizer.json of faster-whisper's directories."""
    from ctranslate2.converters import TransformersConverter

    TransformersConverter(str(original)).convert(str(target), quantization=quantization)
    tokenizer = json.loads((original / "tokenizer.json").read_text(encoding="utf-8"))
    tokenizer["added_tokens"] = [token for token in tokenizer["added_tokens"] if token["id"] <= 50363]
    (target / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    return target


@pytest.fixture(scope="module")
def ct2(original: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return to_ct2(original, tmp_path_factory.mktemp("ct2") / "float32", "float32")


@pytest.fixture(scope="module")
def converted(ct2: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("converted")
    convert_ct2_to_hf(ct2, target)
    return target


@pytest.mark.parametrize("quantization", ["float32", "float16", "bfloat16"])
def test_weights_come_back_bit_by_bit(original: Path, tmp_path: Path, quantization: str) -> None:
    from safetensors.torch import load_file
    from transformers import WhisperForConditionalGeneration

    target = tmp_path / "hf"
    target.mkdir()
    convert_ct2_to_hf(to_ct2(original, tmp_path / "ct2", quantization), target)
    stored_type = getattr(torch, quantization)
    expected = load_file(original / "model.safetensors")
    found = load_file(target / "model.safetensors")
    assert found.keys() == expected.keys()
    for name, weight in expected.items():
        assert found[name].dtype == torch.float32
        assert torch.equal(found[name], weight.to(stored_type).to(torch.float32)), name
    model = WhisperForConditionalGeneration.from_pretrained(target)
    assert model.proj_out.weight is model.model.decoder.embed_tokens.weight


def test_configs_are_those_of_the_original(original: Path, converted: Path) -> None:
    from transformers import GenerationConfig, WhisperConfig, WhisperFeatureExtractor

    for kind in (WhisperConfig, GenerationConfig, WhisperFeatureExtractor):
        before, after = kind.from_pretrained(original).to_dict(), kind.from_pretrained(converted).to_dict()
        ignored = {"init_std", "_name_or_path"}  # how the weights were drawn, where they lay
        assert {k: v for k, v in after.items() if k not in ignored} == {
            k: v for k, v in before.items() if k not in ignored}
    assert GenerationConfig.from_pretrained(converted).lang_to_id["<|fr|>"] == 50265


def test_tokenizer_knows_languages_tasks_and_timestamps(converted: Path) -> None:
    from transformers import WhisperTokenizer

    tokenizer = WhisperTokenizer.from_pretrained(converted)
    assert len(tokenizer) == 51865
    tokens = ["<|endoftext|>", "<|startoftranscript|>", "<|ru|>", "<|translate|>", "<|0.00|>", "<|30.00|>"]
    assert tokenizer.convert_tokens_to_ids(tokens) == [50257, 50258, 50263, 50358, 50364, 51864]
    tokenizer.set_prefix_tokens(language="french", task="translate")
    assert tokenizer("").input_ids == [50258, 50265, 50358, 50363, 50257]
    assert tokenizer.pad_token_id == 50257


def test_generates_what_ctranslate2_generates(ct2: Path, converted: Path) -> None:
    features = torch.randn(1, 80, 100, generator=torch.Generator().manual_seed(1))
    tokens = generated_by_hf(converted, features, 12)
    assert len(set(tokens)) > 1
    assert tokens == generated_by_ct2(ct2, features, 12)


def test_int8_is_refused(original: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"quantised to integers.*float16 or float32"):
        convert_ct2_to_hf(to_ct2(original, tmp_path / "ct2", "int8"), tmp_path)
    assert not (tmp_path / "model.safetensors").exists()


@pytest.mark.parametrize("name", ["model.bin", "config.json", "vocabulary.json", "tokenizer.json"])
def test_missing_file_is_named(ct2: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(ct2, tmp_path / "ct2")
    (tmp_path / "ct2" / name).unlink()
    with pytest.raises(UserError, match=name):
        convert_ct2_to_hf(tmp_path / "ct2", tmp_path)


def test_english_only_vocabulary_is_refused(ct2: Path, tmp_path: Path) -> None:
    source = shutil.copytree(ct2, tmp_path / "ct2")
    vocabulary = json.loads((source / "vocabulary.json").read_text(encoding="utf-8"))
    (source / "vocabulary.json").write_text(json.dumps(vocabulary[1:]), encoding="utf-8")
    with pytest.raises(UserError, match=r"English-only"):
        convert_ct2_to_hf(source, tmp_path)


def test_tokenizer_of_another_model_is_refused(ct2: Path, tmp_path: Path) -> None:
    source = shutil.copytree(ct2, tmp_path / "ct2")
    text = (source / "tokenizer.json").read_text(encoding="utf-8")
    (source / "tokenizer.json").write_text(text.replace("<|fr|>", "<|xx|>"), encoding="utf-8")
    with pytest.raises(UserError, match=r"<\|fr\|>.*two models"):
        convert_ct2_to_hf(source, tmp_path)


def test_vocabulary_as_text_is_read_too(ct2: Path, tmp_path: Path) -> None:
    source = shutil.copytree(ct2, tmp_path / "ct2")
    vocabulary = json.loads((source / "vocabulary.json").read_text(encoding="utf-8"))
    (source / "vocabulary.json").unlink()
    (source / "vocabulary.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    convert_ct2_to_hf(source, tmp_path)
    assert (tmp_path / "model.safetensors").is_file()


def test_cut_off_model_is_refused_wherever_it_is_cut(ct2: Path, tmp_path: Path) -> None:
    whole = (ct2 / "model.bin").read_bytes()
    broken = tmp_path / "model.bin"
    for size in (0, 3, 10, 30, 200, len(whole) // 2, len(whole) - 1):
        broken.write_bytes(whole[:size])
        with pytest.raises(UserError, match=r"model\.bin"):
            read_ct2_variables(broken)


@pytest.mark.parametrize(
    ("version", "spec", "count", "rank", "dimension", "dtype", "size"),
    [(5, b"WhisperSpec", 1, 1, 1, 0, 4), (6, b"TransformerSpec", 1, 1, 1, 0, 4),
     (6, b"WhisperSpec", 1 << 31, 1, 1, 0, 4), (6, b"WhisperSpec", 1, 99, 1, 0, 4),
     (6, b"WhisperSpec", 1, 1, 1 << 31, 0, 4), (6, b"WhisperSpec", 1, 1, 1, 77, 4),
     (6, b"WhisperSpec", 1, 1, 1 << 29, 0, 1 << 31)],
    ids=["version", "spec", "count", "rank", "dimension", "dtype", "size"])
def test_lying_header_is_refused(tmp_path: Path, version: int, spec: bytes, count: int, rank: int,
                                 dimension: int, dtype: int, size: int) -> None:
    path = tmp_path / "model.bin"
    head = struct.pack("<IH", version, len(spec) + 1) + spec + b"\0" + struct.pack("<II", 3, count)
    name = struct.pack("<H", 2) + b"a\0"
    path.write_bytes(head + name + struct.pack("<BIBI", rank, dimension, dtype, size) + bytes(4 + 4))
    with pytest.raises(UserError, match=r"model\.bin"):
        read_ct2_variables(path)
