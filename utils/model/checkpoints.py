"""A tuned model as the Hugging Face directory that everyone can load."""

from __future__ import annotations

from pathlib import Path

from transformers import WhisperFeatureExtractor, WhisperTokenizerFast

from utils.model.modeling import MultitaskWhisper, to_stock


def save_whole_model(model: MultitaskWhisper, base_dir: Path, tokenizer: WhisperTokenizerFast, directory: Path) -> None:
    """Write weights, generation settings, tokenizer and feature extractor; ``base_dir`` gives the last."""
    to_stock(model).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    # Tokenizers do not write it, and without it faster-whisper assumes 80 mels.
    WhisperFeatureExtractor.from_pretrained(base_dir, local_files_only=True).save_pretrained(directory)
