"""Whisper checkpoints with random weights of real models' shapes: speed does not depend on the values."""

from __future__ import annotations

from pathlib import Path

from transformers import (
    GenerationConfig,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
)

from utils.prompts import load_tokenizer

# (width, encoder layers, decoder layers, heads, mels): arXiv:2212.04356, table 1; large-v3 and turbo: their model cards
_SHAPES = {"small": (768, 12, 12, 12, 80), "large-v3": (1280, 32, 32, 20, 128), "turbo": (1280, 32, 4, 20, 128)}


def write_random_whisper(name: str, like: Path, directory: Path) -> None:
    """A whole Hugging Face directory.

    Args:
        name: small, large-v3 or turbo.
        like: where vocabulary, tokenizer and generation settings come from.
    """
    width, encoder, decoder, heads, mels = _SHAPES[name]
    config = WhisperConfig.from_pretrained(like, d_model=width, encoder_layers=encoder, decoder_layers=decoder,
                                           encoder_attention_heads=heads, decoder_attention_heads=heads,
                                           encoder_ffn_dim=4 * width, decoder_ffn_dim=4 * width, num_mel_bins=mels)
    model = WhisperForConditionalGeneration(config)
    model.generation_config = GenerationConfig.from_pretrained(like)
    model.save_pretrained(directory)
    load_tokenizer(like).save_pretrained(directory)
    WhisperFeatureExtractor(feature_size=mels).save_pretrained(directory)
