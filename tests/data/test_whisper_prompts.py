"""Decoder prompts and texts in tokens, as Whisper itself writes them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from transformers import WhisperTokenizer

from utils.data.prompts import prompt_ids, text_ids
from utils.data.tokenizer import load_tokenizer
from utils.errors import UserError


@pytest.fixture(scope="module")
def tokenizer(tiny_whisper: Path) -> WhisperTokenizer:
    return load_tokenizer(tiny_whisper)


@pytest.mark.parametrize(("key", "language", "task"), [
    ("a|french|transcribe", "french", "transcribe"), ("a|fr|translate", "fr", "translate"),
    ("a|Chinese|translate", "zh", "translate"), ("a|castilian|transcribe", "spanish", "transcribe"),
])
def test_prompts_are_those_of_whispers_tokenizer(tokenizer: WhisperTokenizer, tiny_whisper: Path, key: str,
                                                 language: str, task: str) -> None:
    stock = WhisperTokenizer.from_pretrained(tiny_whisper, language=language, task=task)
    assert prompt_ids(tokenizer, key) == stock.prefix_tokens
    assert len(prompt_ids(tokenizer, key)) == 4


def test_a_language_that_the_model_lacks_is_named(tokenizer: WhisperTokenizer) -> None:
    with pytest.raises(UserError, match=r"a\|cantonese\|translate: .* no token <\|yue\|>"):
        prompt_ids(tokenizer, "a|cantonese|translate")


@pytest.mark.parametrize(("key", "text", "written"), [
    ("a|fr|transcribe", "Allô ", " Allô"), ("a|zh|transcribe", "你好", "你好"), ("a|zh|translate", "hello", " hello"),
    ("a|japanese|transcribe", "はい", "はい"), ("a|ko|transcribe", "네", " 네"), ("a|fr|transcribe", "", " "),
])
def test_texts_begin_with_a_space_where_words_are_spaced(tokenizer: WhisperTokenizer, key: str, text: str,
                                                         written: str) -> None:
    assert tokenizer.decode(text_ids(tokenizer, key, text)) == written


def english_only(directory: Path) -> None:
    """English-only vocabularies have languages and tasks, too, but every special id is one less."""
    tokenizer = json.loads((directory / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary = tokenizer["model"]["vocab"]
    last = max(vocabulary, key=vocabulary.get)
    del vocabulary[last]
    for token in tokenizer["added_tokens"]:
        token["id"] -= 1
    (directory / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")


def no_tasks(directory: Path) -> None:
    path = directory / "tokenizer.json"
    path.write_text(path.read_text(encoding="utf-8").replace("<|translate|>", "<|other|>"), encoding="utf-8")


def damaged(directory: Path) -> None:
    (directory / "tokenizer.json").write_text("{")


def removed(directory: Path) -> None:
    (directory / "tokenizer.json").unlink()


@pytest.mark.parametrize(("change", "complaint"), [
    (english_only, "multilingual"), (no_tasks, "multilingual"), (damaged, "no Whisper tokenizer"),
    (removed, "multilingual"),
])
def test_other_tokenizers_are_refused(tiny_whisper: Path, tmp_path: Path, change: object, complaint: str) -> None:
    directory = shutil.copytree(tiny_whisper, tmp_path / "model")
    change(directory)
    with pytest.raises(UserError, match=complaint) as caught:
        load_tokenizer(directory)
    assert str(caught.value).startswith(f"{directory}: ")
