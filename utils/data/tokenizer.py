"""Whisper's tokenizer: loaded, compared with Whisper's own ranks, and repaired where merges are missing.

Tokenizer files of before March 2024 lack the first merge, ``Ġ t`` (huggingface/transformers#29368): with them
`` test`` becomes two tokens that Whisper never saw. Every place that takes a model's directory loads it here.
"""

from __future__ import annotations

import json
from pathlib import Path

from transformers import WhisperTokenizerFast

from utils.cli import log
from utils.data.token_ranks import REMEDY, as_pair, repair_merges, require_whispers_words, sha256_of_lines
from utils.errors import UserError
from utils.filesystem import atomic_open

REPAIRED = ".tokenizer_repaired"  # in a model's directory: its tokenizer.json is not the one that it came with
_ENGLISH_ONLY_END = 50256


def load_tokenizer(model_dir: str | Path) -> WhisperTokenizerFast:
    """The tokenizer of a local Whisper directory; missing merges are put back in memory, with a line in the log.

    Raises:
        UserError: there is none, it knows no tasks (an English-only ``.en`` model), or its tokens are not Whisper's.
    """
    tokenizer, fault = read_tokenizer(model_dir)
    if fault:
        log(f"warning: {model_dir}: {fault}; put back for this run. Programs that read the file itself get wrong "
            f"tokens: {REMEDY}")
    return tokenizer


def read_tokenizer(model_dir: str | Path) -> tuple[WhisperTokenizerFast, str]:
    """The tokenizer of a local Whisper directory, and what had to be repaired in it; empty if nothing.

    Raises:
        UserError: as load_tokenizer.
    """
    try:
        tokenizer = WhisperTokenizerFast.from_pretrained(model_dir, local_files_only=True)
        file = Path(model_dir) / "tokenizer.json"
        content = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{model_dir}: no Whisper tokenizer there: {error}") from None
    # English-only vocabularies have the tasks' names, too, but GPT-2's own end token, one id earlier.
    if tokenizer.eos_token_id == _ENGLISH_ONLY_END or token_id(tokenizer, "<|translate|>") is None:
        raise UserError(f"{model_dir}: the tokenizer knows no tasks; multitask tuning needs a multilingual Whisper")
    if content is not None:
        require_whispers_words(content, model_dir)
    return tokenizer, repair_merges(tokenizer, model_dir)


def token_id(tokenizer: WhisperTokenizerFast, token: str) -> int | None:
    """The id of a token, or None where the vocabulary lacks it."""
    index = tokenizer.convert_tokens_to_ids(token)
    return None if index is None or (index == tokenizer.unk_token_id and token != tokenizer.unk_token) else index


def tokens_checksum(tokenizer: WhisperTokenizerFast) -> str:
    """SHA-256 of what decides how text becomes ids: two tokenizers with the same one agree on every text."""
    backend = json.loads(tokenizer.backend_tokenizer.to_str())
    added = [[token["id"], token["content"]] for token in backend["added_tokens"]]
    model = backend["model"]
    return sha256_of_lines([json.dumps([added, sorted(model["vocab"].items()), model["merges"]])])


def repair_files(directory: Path) -> None:
    """Put missing merges back into the files of a directory of ours, with a line in the log.

    ``.tokenizer_repaired`` then says what was wrong.

    Raises:
        UserError: as load_tokenizer.
    """
    tokenizer, fault = read_tokenizer(directory)
    if not fault:
        return
    backend = tokenizer.backend_tokenizer
    with atomic_open(directory / "tokenizer.json") as stream:
        stream.write(backend.to_str(pretty=True))
    if (directory / "merges.txt").exists():
        merges = (" ".join(as_pair(merge)) for merge in json.loads(backend.to_str())["model"]["merges"])
        with atomic_open(directory / "merges.txt") as stream:
            stream.writelines(f"{line}\n" for line in ("#version: 0.2", *merges))
    with atomic_open(directory / REPAIRED) as stream:
        stream.write(f"{fault}\n")
    log(f"the base model: {fault}; put back in tokenizer.json. What was trained with the old file used wrong tokens "
        "and must be trained again")


def wrong_tokens(model_dir: str | Path) -> str:
    """What was wrong with the tokenizer of a directory before it was repaired; empty if nothing is known."""
    mark = Path(model_dir) / REPAIRED
    return mark.read_text(encoding="utf-8").strip() if mark.is_file() else read_tokenizer(model_dir)[1]
