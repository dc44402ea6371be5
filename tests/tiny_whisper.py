"""A complete multilingual Whisper directory, small enough for tests and made without a download."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    GenerationConfig,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperTokenizer,
)
from transformers.models.whisper.tokenization_whisper import LANGUAGES

END, START, TRANSLATE, TRANSCRIBE, NO_TIMESTAMPS = 50257, 50258, 50358, 50359, 50363
VOCAB_SIZE = 51865  # the real one: CTranslate2 takes a smaller vocabulary for an English-only model's
_LANGUAGE_TOKENS = [f"<|{code}|>" for code in list(LANGUAGES)[:99]]
_TASK_TOKENS = ["<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>",
                "<|notimestamps|>"]
_SIZE = {
    "d_model": 64, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 128, "decoder_ffn_dim": 128,
}


def make_tiny_whisper(directory: Path, *, num_mels: int = 80, seed: int = 0, std: float = 0.3,
                      **config: Any) -> Path:
    """Write config, random weights, generation settings, tokenizer and feature extractor; returns ``directory``.

    Text becomes one token a byte, a number one token; the special tokens' ids are those of the multilingual Whispers.

    Args:
        std: of all weights, biases and positions; norms scatter around 1.
        config: changes to WhisperConfig.
    """
    WhisperFeatureExtractor(feature_size=num_mels).save_pretrained(directory)
    make_tokenizer().save_pretrained(directory)
    make_model(num_mels, seed, std, **config).save_pretrained(directory)
    return directory


def make_tokenizer() -> WhisperTokenizer:
    """Every byte is a token, so any language can be written; the other ids of real vocabularies are numbers."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    # A model without the empty word is no multilingual one to CTranslate2, and to faster-whisper all English.
    numbers = [f"Ġ{number}" for number in range(END - len(letters) - 1)]
    words, merges = [*letters, *numbers, ""], [(number[:-1], number[-1]) for number in numbers]
    tokenizer = Tokenizer(models.BPE({word: index for index, word in enumerate(words)}, merges))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(False), decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|endoftext|>", "<|startoftranscript|>", *_LANGUAGE_TOKENS, *_TASK_TOKENS])
    tokenizer.add_tokens([AddedToken(f"<|{index * 0.02:.2f}|>", normalized=False) for index in range(1501)])
    assert tokenizer.token_to_id("<|notimestamps|>") == NO_TIMESTAMPS
    assert tokenizer.get_vocab_size() == VOCAB_SIZE
    return WhisperTokenizer(tokenizer_object=tokenizer, pad_token="<|endoftext|>")


def make_model(num_mels: int, seed: int, std: float, **config: Any) -> WhisperForConditionalGeneration:
    """Random weights that say different things for different audio, languages and tasks, and come to an end."""
    torch.manual_seed(seed)
    model = WhisperForConditionalGeneration(WhisperConfig(**{
        "vocab_size": VOCAB_SIZE, "num_mel_bins": num_mels, **_SIZE, "suppress_tokens": None,
        "begin_suppress_tokens": None, "bos_token_id": END, "eos_token_id": END, "pad_token_id": END,
        "decoder_start_token_id": START, **config}))
    for name, parameter in model.named_parameters():  # biases and norms, too: each must be told apart
        torch.nn.init.normal_(parameter, float("layer_norm.weight" in name), std)
    _make_ends_likelier_with_time(model.model.decoder, std)
    model.tie_weights()
    ids = {token: START + 1 + index for index, token in enumerate(_LANGUAGE_TOKENS)}
    model.generation_config = GenerationConfig(
        alignment_heads=[[0, 0], [0, 1]], suppress_tokens=[1, 2, START, TRANSLATE, TRANSCRIBE, 50360, 50361, 50362],
        begin_suppress_tokens=[220, END], bos_token_id=END, eos_token_id=END, pad_token_id=END,
        decoder_start_token_id=START, lang_to_id=ids, max_initial_timestamp_index=50, max_length=448,
        task_to_id={"transcribe": TRANSCRIBE, "translate": TRANSLATE}, no_timestamps_token_id=NO_TIMESTAMPS,
        is_multilingual=True, prev_sot_token_id=50361, return_timestamps=False)
    return model


def _make_ends_likelier_with_time(decoder: torch.nn.Module, std: float) -> None:
    """Make the end token likelier with the position; a random model would write up to the 448th token."""
    direction = torch.nn.functional.normalize(torch.randn(decoder.embed_positions.weight.shape[1]), dim=0)
    time = torch.arange(len(decoder.embed_positions.weight))[:, None]
    decoder.embed_positions.weight.data += std * time * direction
    decoder.embed_tokens.weight.data[END] = 30 * std * direction
