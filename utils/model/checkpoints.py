"""Loads and saves checkpoints: whole models and adapters, never pickles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration, WhisperTokenizer

from utils.data.tokenizer import save_vocabulary_files
from utils.errors import UserError
from utils.model.modeling import MultitaskWhisper
from utils.model.strength import adapter_config


def save_whole_model(model: MultitaskWhisper, base_dir: Path, tokenizer: WhisperTokenizer, directory: Path) -> None:
    """Write weights, generation settings, tokenizer and feature extractor (that of ``base_dir``) to ``directory``."""
    to_stock(model).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    save_vocabulary_files(tokenizer, directory)
    # Without preprocessor_config.json, faster-whisper assumes 80 mels.
    WhisperFeatureExtractor.from_pretrained(base_dir, local_files_only=True).save_pretrained(directory)


def load_base_model(model_dir: str | Path, dtype: torch.dtype = torch.float32) -> MultitaskWhisper:
    """Load a Whisper checkpoint from a local directory (safetensors only).

    Raises:
        UserError: there is no Whisper checkpoint, or it is damaged or incomplete.
    """
    try:
        loaded: tuple[MultitaskWhisper, dict[str, Any]]
        loaded = MultitaskWhisper.from_pretrained(  # type: ignore[assignment]  # output_loading_info makes it a pair
            model_dir, local_files_only=True, use_safetensors=True, dtype=dtype, attn_implementation="sdpa",
            output_loading_info=True)
        model, info = loaded
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise UserError(f"{model_dir}: no Whisper checkpoint could be read there: {error}") from None
    if model.config.model_type != "whisper":
        raise UserError(f"{model_dir}: a {model.config.model_type} model, not Whisper")
    if info["missing_keys"]:  # transformers would initialise these at random
        raise UserError(f"{model_dir}: the checkpoint lacks {min(info['missing_keys'])} and "
                        f"{len(info['missing_keys']) - 1} other weights that its config.json asks for")
    return model


def is_adapter(path: str | Path) -> bool:
    """Whether ``path`` is a PEFT adapter directory rather than a whole model."""
    return (Path(path) / "adapter_config.json").is_file()


def load_tuned_model(path: str | Path, base_dir: str | Path, dtype: torch.dtype = torch.float32,
                     strength: float | None = None) -> MultitaskWhisper:
    """Load a whole model, or merge an adapter into its base; a model without adapters in both cases.

    Args:
        path: directory of the model or the adapter.
        base_dir: the base model of the adapter; not used for a whole model.
        strength: share of its trained weight at which the adapter is merged; None: as its directory says.

    Raises:
        UserError: a file is missing or damaged, or the adapter does not fit the base model.
    """
    if not is_adapter(path):
        if strength is not None:
            raise UserError(f"{path}: only an adapter has a strength, and this is a whole model. Leave --strength out")
        return load_base_model(path, dtype)
    from peft import PeftModel, get_peft_model_state_dict

    _require_plain_lora(Path(path) / "adapter_config.json")
    base = load_base_model(base_dir, torch.float32)  # merging in lower precision would lose small updates
    try:
        with safe_open(Path(path) / "adapter_model.safetensors", "pt") as stored:
            names = set(stored.keys())
        tuned = PeftModel.from_pretrained(base, str(path), config=adapter_config(path, strength))
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise UserError(f"{path}: no adapter there that fits {base_dir}: {str(error).splitlines()[0]}") from None
    different = names ^ get_peft_model_state_dict(tuned).keys()
    if different:  # PEFT ignores weights that do not fit or are missing
        raise UserError(f"{path}: the adapter is of another model than {base_dir}: {min(different)} is in one only")
    return tuned.merge_and_unload().to(dtype)


def _require_plain_lora(config_file: Path) -> None:
    """Refuse other adapters: for some, PEFT imports a module that the file names (``megatron_core``)."""
    try:
        config = json.loads(config_file.read_text(encoding="utf-8"))
        plain = config["peft_type"] == "LORA" and not config.get("megatron_config")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        plain = False
    if not plain:
        raise UserError(f"{config_file}: not of a plain LoRA adapter, as this recipe trains them. Name another adapter")


def to_stock(model: MultitaskWhisper) -> WhisperForConditionalGeneration:
    """Return the same weights in transformers' own class, which other programs can load."""
    with torch.device("meta"):
        stock = WhisperForConditionalGeneration(model.config)
    stock.load_state_dict(model.state_dict(), assign=True)
    stock.tie_weights()
    stock.generation_config = model.generation_config
    return stock
