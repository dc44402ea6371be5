"""Whisper checkpoints with random weights of real models' shapes: speed does not depend on the values."""

from __future__ import annotations

from pathlib import Path

from transformers import (
    GenerationConfig,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
)

from tools.bench.shapes import SIZES, TURBO
from utils.data.tokenizer import load_tokenizer

_HEAD = 64  # dimensions


def write_random_whisper(name: str, like: Path, directory: Path) -> None:
    """A whole Hugging Face directory.

    Args:
        name: small, large-v3 or turbo.
        like: where vocabulary, tokenizer and generation settings come from.
    """
    width, encoder, decoder, _, mels = TURBO if name == "turbo" else SIZES[name]
    heads = width // _HEAD
    config = WhisperConfig.from_pretrained(like, d_model=width, encoder_layers=encoder, decoder_layers=decoder,
                                           encoder_attention_heads=heads, decoder_attention_heads=heads,
                                           encoder_ffn_dim=4 * width, decoder_ffn_dim=4 * width, num_mel_bins=mels)
    model = WhisperForConditionalGeneration(config)
    model.generation_config = GenerationConfig.from_pretrained(like)
    model.save_pretrained(directory)
    load_tokenizer(like).save_pretrained(directory)
    WhisperFeatureExtractor(feature_size=mels).save_pretrained(directory)
