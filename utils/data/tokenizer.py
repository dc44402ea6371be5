"""Loads Whisper's tokenizer, compares it with Whisper's own ranks, and restores missing merges.

Tokenizer files from before March 2024 lack the first merge, ``Ġ t`` (huggingface/transformers#29368): with them
`` test`` becomes two tokens that never occur in Whisper's training. All code that needs a tokenizer loads it here.
"""

from __future__ import annotations

import json
from pathlib import Path

from transformers import WhisperTokenizer

from utils.cli import log
from utils.data.token_ranks import REMEDY, as_pair, repair_merges, require_whisper_pretokenizer, sha256_of_lines
from utils.errors import UserError
from utils.filesystem import atomic_open

REPAIRED = ".tokenizer_repaired"  # file in a model's directory whose tokenizer.json was repaired
_ENGLISH_ONLY_END = 50256


def load_tokenizer(model_dir: str | Path) -> WhisperTokenizer:
    """Return the tokenizer of a local Whisper directory; missing merges are restored in memory and logged.

    Raises:
        UserError: there is no tokenizer, it has no tokens for tasks (an English-only ``.en`` model), or it is damaged.
    """
    tokenizer, fault = read_tokenizer(model_dir)
    if fault:
        log(f"warning: {model_dir}: {fault}; put back for this run. Programs that read the file itself get wrong "
            f"tokens: {REMEDY}")
    return tokenizer


def read_tokenizer(model_dir: str | Path) -> tuple[WhisperTokenizer, str]:
    """Return the tokenizer of a local Whisper directory, and what was repaired in it; empty if nothing.

    Raises:
        UserError: as load_tokenizer.
    """
    try:
        tokenizer = WhisperTokenizer.from_pretrained(model_dir, local_files_only=True)
        file = Path(model_dir) / "tokenizer.json"
        content = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{model_dir}: no Whisper tokenizer there: {error}") from None
    # English-only vocabularies have the tokens of tasks, too, but the end token of GPT-2, one id earlier.
    if tokenizer.eos_token_id == _ENGLISH_ONLY_END or token_id(tokenizer, "<|translate|>") is None:
        raise UserError(f"{model_dir}: the tokenizer knows no tasks; multitask tuning needs a multilingual Whisper")
    if content is not None:
        require_whisper_pretokenizer(content, model_dir)
    return tokenizer, repair_merges(tokenizer, model_dir)


def token_id(tokenizer: WhisperTokenizer, token: str) -> int | None:
    """Return the id of a token, or None if the vocabulary lacks it."""
    index = tokenizer.convert_tokens_to_ids(token)
    if not isinstance(index, int) or (index == tokenizer.unk_token_id and token != tokenizer.unk_token):
        return None
    return index


def save_vocabulary_files(tokenizer: WhisperTokenizer, directory: Path) -> None:
    """Write vocab.json, merges.txt and added_tokens.json, which converters read that do not know tokenizer.json.

    As in OpenAI's own repositories, <|endoftext|> is in vocab.json, the other special tokens in added_tokens.json.
    """
    backend = json.loads(tokenizer.backend_tokenizer.to_str())
    vocabulary: dict[str, int] = dict(backend["model"]["vocab"])
    added = {token["content"]: token["id"] for token in backend["added_tokens"]}
    vocabulary["<|endoftext|>"] = added.pop("<|endoftext|>", vocabulary.get("<|endoftext|>", len(vocabulary)))
    added = {content: index for content, index in added.items() if content not in vocabulary}
    for name, items in (("vocab.json", vocabulary), ("added_tokens.json", added)):
        ordered = dict(sorted(items.items(), key=lambda item: item[1]))
        with atomic_open(directory / name) as stream:  # a link to a user's file is replaced, not followed
            json.dump(ordered, stream, ensure_ascii=False)
    with atomic_open(directory / "merges.txt") as stream:
        merges = [" ".join(as_pair(merge)) for merge in backend["model"]["merges"]]
        stream.writelines(f"{line}\n" for line in ("#version: 0.2", *merges))


def tokens_checksum(tokenizer: WhisperTokenizer) -> str:
    """Return the SHA-256 of vocabulary, merges and added tokens: with the same one, tokenizers agree on every text."""
    backend = json.loads(tokenizer.backend_tokenizer.to_str())
    added = [[token["id"], token["content"]] for token in backend["added_tokens"]]
    model = backend["model"]
    return sha256_of_lines([json.dumps([added, sorted(model["vocab"].items()), model["merges"]])])


def repair_files(directory: Path) -> None:
    """Restore missing merges in the tokenizer files of a directory that stage 0 made, and log it.

    The new file ``.tokenizer_repaired`` then says what was wrong.

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
        save_vocabulary_files(tokenizer, directory)
    with atomic_open(directory / REPAIRED) as stream:
        stream.write(f"{fault}\n")
    log(f"the base model: {fault}; put back in tokenizer.json. What was trained with the old file used wrong tokens "
        "and must be trained again")


def wrong_tokens(model_dir: str | Path) -> str:
    """Return what was wrong with the tokenizer of a directory before any repair; empty if nothing was."""
    mark = Path(model_dir) / REPAIRED
    return mark.read_text(encoding="utf-8").strip() if mark.is_file() else read_tokenizer(model_dir)[1]
