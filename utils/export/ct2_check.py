"""Checks that the files of a CTranslate2 export are those of its checkpoint: faults that no runtime reports."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from transformers import GenerationConfig, WhisperConfig, WhisperTokenizer

from utils.data.tokenizer import load_tokenizer, read_tokenizer, tokens_checksum
from utils.errors import UserError
from utils.filesystem import read_json
from utils.model.ct2_binary import read_ct2_shapes

_SPECIAL = ["<|startoftranscript|>", "<|endoftext|>", "<|transcribe|>", "<|translate|>", "<|notimestamps|>", "<|0.00|>"]
_FILES = ("config.json", "vocabulary.json", "preprocessor_config.json", "generation_config.json")

Expectation = tuple[str, Any, Any]
"""What is checked, the value that was found, and the expected value."""


def check_ct2(ct2_dir: Path, merged_dir: Path) -> None:
    """Compare the files of an export, as far as runtimes rely on them, with the checkpoint.

    Raises:
        UserError: a file cannot be read; or the vocabulary, a special token, a suppressed token, a language, an
            alignment head, the mel count or the size of the weights differs.
    """
    model = WhisperConfig.from_pretrained(merged_dir, local_files_only=True)
    generation = GenerationConfig.from_pretrained(merged_dir, local_files_only=True)
    tokenizer = load_tokenizer(merged_dir)
    files = {name: read_json(ct2_dir / name, "Export again: ./run.sh --stage 5") for name in _FILES}
    # The order matters: later checks rely on what earlier ones have compared.
    for what, found, expected in chain(_ids(ct2_dir, files["vocabulary.json"], tokenizer, model),
                                       _settings(files, generation, model), _weights(ct2_dir, model)):
        if found != expected:
            raise UserError(f"{ct2_dir}: {what} is wrong: {str(found)[:80]}, not {str(expected)[:80]}")


def _ids(ct2_dir: Path, vocabulary: list[str], tokenizer: WhisperTokenizer,
         model: WhisperConfig) -> Iterator[Expectation]:
    ids: list[int] = tokenizer.convert_tokens_to_ids(_SPECIAL)  # type: ignore[assignment]  # of a list: a list
    yield "vocabulary size", len(vocabulary), model.vocab_size
    yield "special tokens", [vocabulary[index] for index in ids], _SPECIAL
    exported, fault = read_tokenizer(ct2_dir)
    yield "merges of tokenizer.json", fault, ""
    yield "tokens of tokenizer.json", exported.convert_ids_to_tokens(ids), _SPECIAL
    known = exported.get_vocab()
    yield ("first id of vocabulary.json that is another in tokenizer.json",
           next((index for index, token in enumerate(vocabulary) if known.get(token) != index), None), None)
    yield "tokens of texts", tokens_checksum(exported), tokens_checksum(tokenizer)
    yield "start and end token", [model.decoder_start_token_id, model.eos_token_id], ids[:2]


def _settings(files: dict[str, Any], generation: GenerationConfig, model: WhisperConfig) -> Iterator[Expectation]:
    written, vocabulary = files["config.json"], files["vocabulary.json"]
    yield "suppress_ids", sorted(written.get("suppress_ids") or []), sorted(generation.suppress_tokens or [])
    yield "suppress_ids_begin", written.get("suppress_ids_begin"), generation.begin_suppress_tokens or []
    yield "mel bins", files["preprocessor_config.json"].get("feature_size"), model.num_mel_bins
    yield ("suppress_tokens of generation_config.json",
           files["generation_config.json"].get("suppress_tokens"), generation.suppress_tokens)
    if languages := getattr(generation, "lang_to_id", None):
        yield "lang_ids", sorted(written.get("lang_ids") or []), sorted(languages.values())
        yield "languages", [vocabulary[index] for index in languages.values()], [*languages]
    # check_word_times.py may have written other heads, so an export's files are compared with each other.
    if getattr(generation, "alignment_heads", None):
        heads = files["generation_config.json"].get("alignment_heads") or []
        yield "alignment_heads", written.get("alignment_heads"), heads
        layers, per_layer = model.decoder_layers, model.decoder_attention_heads
        yield "alignment_heads", [head for head in heads if head[0] < layers and head[1] < per_layer], heads


def _weights(ct2_dir: Path, model: WhisperConfig) -> Iterator[Expectation]:
    shapes = read_ct2_shapes(ct2_dir / "model.bin")
    yield "vocabulary in model.bin", shapes["decoder/embeddings/weight"][0], model.vocab_size
    yield "mel bins in model.bin", shapes["encoder/conv1/weight"][1], model.num_mel_bins
