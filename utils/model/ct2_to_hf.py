"""Converts CTranslate2 Whisper directories, as for faster-whisper, to Hugging Face checkpoints.

LoRA needs a Hugging Face checkpoint, but some machines can only get a CTranslate2 one. Its float weights are the
original ones under other names, so the conversion is exact.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from utils.audio.constants import NUM_TIMESTAMPS, TIMESTAMP_SECONDS
from utils.data.tokenizer import repair_files
from utils.errors import UserError
from utils.model.ct2_binary import read_ct2_variables

if TYPE_CHECKING:
    from transformers import GenerationConfig, WhisperConfig, WhisperTokenizer

TIMESTAMPS = [f"<|{i * TIMESTAMP_SECONDS:.2f}|>" for i in range(NUM_TIMESTAMPS)]
END_OF_TEXT = 50257  # in every multilingual Whisper; 50256 in English-only ones

# CTranslate2's name of a layer, and the Hugging Face names of the layers stacked in it.
ENCODER_LAYER = {
    "self_attention/layer_norm": ("self_attn_layer_norm",),
    "self_attention/linear_0": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "self_attention/linear_1": ("self_attn.out_proj",),
    "ffn/layer_norm": ("final_layer_norm",),
    "ffn/linear_0": ("fc1",),
    "ffn/linear_1": ("fc2",),
}
DECODER_LAYER = ENCODER_LAYER | {
    "attention/layer_norm": ("encoder_attn_layer_norm",),
    "attention/linear_0": ("encoder_attn.q_proj",),
    "attention/linear_1": ("encoder_attn.k_proj", "encoder_attn.v_proj"),
    "attention/linear_2": ("encoder_attn.out_proj",),
}
TOP_LEVEL = {
    "encoder/conv1": ("encoder.conv1",),
    "encoder/conv2": ("encoder.conv2",),
    "encoder/layer_norm": ("encoder.layer_norm",),
    "decoder/layer_norm": ("decoder.layer_norm",),
}
PARAMETERS = {"weight": "weight", "bias": "bias", "gamma": "weight", "beta": "bias"}
TABLES = {
    "encoder/position_encodings/encodings": "encoder.embed_positions.weight",
    "decoder/position_encodings/encodings": "decoder.embed_positions.weight",
    "decoder/embeddings/weight": "decoder.embed_tokens.weight",
}
# Scalars that configure the runtime; a value other than Whisper's means another architecture.
FIXED = {"activation": 3, "pre_norm": 1}  # GELU; the others (alibi, scale_embeddings, ...) are 0, for "no"
IGNORED = {"decoder/alignment_heads", "decoder/alignment_layer"}  # defaults; the model's own are in config.json


@dataclass(frozen=True)
class Ct2Model:
    """The contents of a CTranslate2 directory: ``model.bin``, ``config.json`` and the tokens by id."""

    variables: dict[str, torch.Tensor]
    config: dict[str, Any]
    vocabulary: list[str]


def convert_ct2_to_hf(source: Path, target: Path) -> None:
    """Convert the Whisper model of a CTranslate2 directory to a Hugging Face checkpoint in float32.

    Args:
        source: directory with model.bin, config.json, vocabulary.txt or .json, tokenizer.json.
        target: an existing directory; filled with config.json, generation_config.json, model.safetensors,
            the tokenizer's files and preprocessor_config.json.

    Raises:
        UserError: a file is missing or damaged, the weights are quantised to integers, or the model is English-only.
    """
    from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration

    ct2 = read_ct2_directory(source)
    ids = _special_ids(ct2.vocabulary, source)
    try:
        config = _model_config(ct2.variables)
        with torch.device("meta"):
            model = WhisperForConditionalGeneration(config)
        model.load_state_dict(_state_dict(ct2.variables, config, source), assign=True)
    except KeyError as error:
        raise UserError(f"{source}/model.bin: the variable {error} is missing") from None
    except (ValueError, IndexError, RuntimeError) as error:  # the last: load_state_dict
        reason = " ".join(str(error).split())[:300]
        raise UserError(f"{source}/model.bin: not a Whisper model: {reason}") from None
    if len(ct2.vocabulary) != config.vocab_size:
        raise UserError(f"{source}: {len(ct2.vocabulary)} tokens in the vocabulary, but {config.vocab_size} "
                        "embeddings in model.bin: the files are of two models")
    tokenizer = _tokenizer(source, ct2.vocabulary)
    model.tie_weights()
    model.generation_config = _generation_config(config, ct2.config, ids, source)
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
    repair_files(target)
    WhisperFeatureExtractor(feature_size=config.num_mel_bins).save_pretrained(target)


def read_ct2_directory(path: Path) -> Ct2Model:
    """Read a CTranslate2 directory: tensors as stored, config.json, tokens by id.

    Raises:
        UserError: a file is missing, damaged or cut off.
    """
    vocabulary_file = next((file for name in ("vocabulary.json", "vocabulary.txt")
                            if (file := path / name).is_file()), path / "vocabulary.json")
    try:
        text = vocabulary_file.read_text(encoding="utf-8")
        is_json = vocabulary_file.suffix == ".json"
        vocabulary = json.loads(text) if is_json else text.removesuffix("\n").split("\n")
        config = json.loads((path / "config.json").read_text(encoding="utf-8"))
        variables = read_ct2_variables(path / "model.bin")
    except FileNotFoundError as error:
        raise UserError(f"{error.filename} is missing: not a whole CTranslate2 Whisper directory") from None
    except ValueError as error:
        raise UserError(f"{path}: config.json or vocabulary is damaged: {error}") from None
    return Ct2Model(variables, config, vocabulary)


def _model_config(variables: dict[str, torch.Tensor]) -> WhisperConfig:
    """The model's configuration: sizes from the tensors, the rest as in every multilingual Whisper."""
    from transformers import WhisperConfig

    vocab_size, d_model = variables["decoder/embeddings/weight"].shape
    return WhisperConfig(
        vocab_size=vocab_size,
        d_model=d_model,
        num_mel_bins=variables["encoder/conv1/weight"].shape[1],
        encoder_layers=_count_layers(variables, "encoder"),
        decoder_layers=_count_layers(variables, "decoder"),
        encoder_attention_heads=int(variables["encoder/num_heads"]),
        decoder_attention_heads=int(variables["decoder/num_heads"]),
        encoder_ffn_dim=variables["encoder/layer_0/ffn/linear_0/weight"].shape[0],
        decoder_ffn_dim=variables["decoder/layer_0/ffn/linear_0/weight"].shape[0],
        max_source_positions=variables["encoder/position_encodings/encodings"].shape[0],
        max_target_positions=variables["decoder/position_encodings/encodings"].shape[0],
        bos_token_id=END_OF_TEXT, eos_token_id=END_OF_TEXT, pad_token_id=END_OF_TEXT,
        decoder_start_token_id=END_OF_TEXT + 1, suppress_tokens=None, begin_suppress_tokens=None,
    )


def _count_layers(variables: dict[str, torch.Tensor], part: str) -> int:
    return len({match[0] for name in variables if (match := re.match(rf"{part}/layer_\d+/", name))})


def _state_dict(variables: dict[str, torch.Tensor], config: WhisperConfig,
                source: Path) -> dict[str, torch.Tensor]:
    """The tensors under their Hugging Face names, in float32; a ValueError for an unknown variable."""
    left = {name: value for name, value in variables.items() if name not in IGNORED}
    integers = [name for name, value in left.items() if value.dim() > 1 and not value.is_floating_point()]
    if integers:
        raise UserError(f"{source}/model.bin: its weights are quantised to integers: take a directory "
                        "converted with --quantization float16 or float32")
    state = {f"model.{hf_name}": left.pop(name) for name, hf_name in TABLES.items()}
    state["proj_out.weight"] = state["model.decoder.embed_tokens.weight"]
    for layer, hf_names in _layers(config).items():
        for kind, hf_kind in PARAMETERS.items():
            if (stacked := left.pop(f"{layer}/{kind}", None)) is not None:
                for hf_name, part in zip(hf_names, stacked.chunk(len(hf_names)), strict=True):
                    state[f"model.{hf_name}.{hf_kind}"] = part
    for name in [name for name in state if name.endswith("k_proj.bias")]:
        if state.pop(name).any():  # Whisper's k_proj has no bias; CTranslate2 stacks zeros for it
            raise ValueError(f"{name} is not zero")
    for name in [name for name, value in left.items() if value.dim() == 0]:
        value, kind = int(left.pop(name)), name.split("/")[-1]
        if kind != "num_heads" and value != FIXED.get(kind, 0):
            raise ValueError(f"{name} is {value}")
    if left:
        raise ValueError(f"unknown variable {min(left)}, and {len(left) - 1} more")
    return {name: value.to(torch.float32) for name, value in state.items()}


def _layers(config: WhisperConfig) -> dict[str, tuple[str, ...]]:
    """The names of the Hugging Face layers stacked in each CTranslate2 layer."""
    layers: dict[str, tuple[str, ...]] = {**TOP_LEVEL}
    for part, count, kinds in (("encoder", config.encoder_layers, ENCODER_LAYER),
                               ("decoder", config.decoder_layers, DECODER_LAYER)):
        for i in range(count):
            layers |= {f"{part}/layer_{i}/{kind}": tuple(f"{part}.layers.{i}.{name}" for name in names)
                       for kind, names in kinds.items()}
    return layers


def _special_ids(vocabulary: list[str], source: Path) -> dict[str, int]:
    """The ids of the special tokens; a UserError if their order is not that of a multilingual Whisper."""
    from transformers.models.whisper.tokenization_whisper import LANGUAGES

    n_languages = max(len(vocabulary) - END_OF_TEXT - 8 - len(TIMESTAMPS), 0)  # 99, or 100 from large-v3 on
    expected = ["<|endoftext|>", "<|startoftranscript|>",
                *(f"<|{code}|>" for code in list(LANGUAGES)[:n_languages]),
                "<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>",
                None,  # <|nospeech|>, or <|nocaptions|> in older files
                "<|notimestamps|>", *TIMESTAMPS]
    specials = vocabulary[END_OF_TEXT:]
    if len(specials) != len(expected) or any(
            wanted not in (None, token) for token, wanted in zip(specials, expected, strict=True)):
        raise UserError(f"{source}: the vocabulary is not a multilingual Whisper's (English-only models, "
                        "named .en, know no languages and no tasks: take the one without .en)")
    return {token: END_OF_TEXT + i for i, token in enumerate(specials)}


def _tokenizer(source: Path, vocabulary: list[str]) -> WhisperTokenizer:
    """The tokenizer of ``source`` with the timestamp tokens that faster-whisper's tokenizer.json lacks."""
    from tokenizers import AddedToken, Tokenizer
    from transformers import WhisperTokenizer

    path = source / "tokenizer.json"
    if not path.is_file():
        raise UserError(f"{path} is missing: put the tokenizer.json of the same Whisper model there")
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises plain Exceptions
        raise UserError(f"{path}: not a tokenizer: {error}") from None
    known = tokenizer.get_vocab_size()
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in vocabulary[known:]])
    for i, token in enumerate(vocabulary):
        if tokenizer.token_to_id(token) != i:
            raise UserError(f"{path}: {token!r} has the id {tokenizer.token_to_id(token)}, but {i} in the "
                            "vocabulary: the files are of two models")
    return WhisperTokenizer(tokenizer_object=tokenizer, pad_token="<|endoftext|>")


def _generation_config(config: WhisperConfig, ct2_config: dict[str, Any], ids: dict[str, int],
                       source: Path) -> GenerationConfig:
    """The settings that openai/whisper-* keep in generation_config.json."""
    from transformers import GenerationConfig

    try:
        heads, suppress = ct2_config["alignment_heads"], ct2_config["suppress_ids"]
        begin_suppress = ct2_config["suppress_ids_begin"]
    except KeyError as error:
        raise UserError(f"{source}/config.json: the key {error} is missing") from None
    languages = [token for token, i in ids.items() if ids["<|startoftranscript|>"] < i < ids["<|translate|>"]]
    return GenerationConfig(
        alignment_heads=heads, suppress_tokens=suppress, begin_suppress_tokens=begin_suppress,
        bos_token_id=config.bos_token_id, eos_token_id=config.eos_token_id, pad_token_id=config.pad_token_id,
        decoder_start_token_id=config.decoder_start_token_id, prev_sot_token_id=ids["<|startofprev|>"],
        no_timestamps_token_id=ids["<|notimestamps|>"], is_multilingual=True,
        lang_to_id={token: ids[token] for token in languages},
        task_to_id={task: ids[f"<|{task}|>"] for task in ("transcribe", "translate")},
        max_initial_timestamp_index=50, max_length=config.max_target_positions, return_timestamps=False,
    )
