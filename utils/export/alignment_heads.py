"""The choice of alignment heads: cross-attention heads that follow the audio, from which runtimes derive word times.

OpenAI chose the heads of its models by hand (whisper/__init__.py, ``_ALIGNMENT_HEADS``); tuning can change which heads
follow the audio. Here heads are compared on joined recordings (:mod:`utils.export.word_times`): for each token, by the
distance between the position with the highest attention weight and the position at which the token is expected if
every token of a recording lasts equally long.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from transformers import GenerationConfig
from transformers.modeling_outputs import BaseModelOutput

from utils.audio.constants import FULL_WINDOW, POSITIONS_PER_SECOND, SAMPLE_RATE
from utils.data.prompts import prompt_ids, text_ids
from utils.data.tokenizer import load_tokenizer
from utils.export.word_times import Clip
from utils.features.feature_set import stack_feats
from utils.features.log_mel import LogMel
from utils.filesystem import read_json, write_json
from utils.model.checkpoints import load_base_model

_FAR = 2.0  # seconds; larger distances count as this much, so that single outliers do not decide

Heads = list[list[int]]
"""[layer, head] of the decoder, as in generation_config.json."""


@torch.inference_mode()
def choose_heads(model_dir: Path, clips: Sequence[Clip], n_heads: int) -> Heads:
    """The ``n_heads`` heads of a Hugging Face directory's model that follow the audio best.

    Raises:
        UserError: ``model_dir`` has no complete Whisper.
    """
    model = load_base_model(model_dir).eval()
    model.set_attn_implementation("eager")  # the only implementation that returns attention weights
    tokenizer, log_mel = load_tokenizer(model_dir), LogMel(model_dir)
    distances = []
    for clip in clips:
        texts = [text_ids(tokenizer, clip.key, text) for text in clip.texts]
        prompt = prompt_ids(tokenizer, clip.key)
        tokens = torch.tensor([prompt + [token for text in texts for token in text]])
        encoded = model.model.encoder(stack_feats([log_mel(clip.samples)], FULL_WINDOW)).last_hidden_state
        outputs = model(encoder_outputs=BaseModelOutput(last_hidden_state=encoded), decoder_input_ids=tokens,
                        output_attentions=True)
        # The logits for a token are computed at the position of the token before it, so that row has its weights.
        weights = torch.stack(outputs.cross_attentions)[:, 0, :, len(prompt) - 1:-1].numpy()
        distances.append(head_distances(weights, [len(text) for text in texts], clip))
    means = np.mean(distances, axis=0)
    best = np.argsort(means, axis=None, kind="stable")[:n_heads]
    return sorted([int(index) for index in np.unravel_index(flat_index, means.shape)] for flat_index in best)


def head_distances(weights: np.ndarray, lengths: Sequence[int], clip: Clip) -> np.ndarray:
    """Mean distance in seconds, at most _FAR, between the attention peaks of heads and the expected times of tokens.

    Args:
        weights: cross-attention of shape (layers, heads, tokens, positions).
        lengths: number of tokens of each recording.

    Returns:
        Shape (layers, heads).
    """
    ends = [*clip.onsets[1:], len(clip.samples) / SAMPLE_RATE]
    expected = np.concatenate([onset + (np.arange(length) + 0.5) / length * (end - onset)
                               for onset, end, length in zip(clip.onsets, ends, lengths, strict=True)])
    peaks = weights.argmax(axis=-1) / POSITIONS_PER_SECOND
    return np.minimum(np.abs(peaks - expected), _FAR).mean(axis=-1)


def heads_of(hf_dir: Path) -> Heads:
    """The alignment heads in a Hugging Face directory's generation settings; an empty list if they name none."""
    return getattr(GenerationConfig.from_pretrained(hf_dir, local_files_only=True), "alignment_heads", None) or []


def write_heads(heads: Heads, merged_dir: Path, ct2_dirs: Iterable[Path]) -> None:
    """Write heads into the settings of a Hugging Face directory and of its CTranslate2 exports.

    An empty list switches word times off. CTranslate2 then refuses to align; with no list at all it would choose heads
    itself. transformers refuses if generation_config.json has no list, so there the key is removed.
    """
    for path in (merged_dir / "generation_config.json",
                 *(ct2_dir / name for ct2_dir in ct2_dirs for name in ("config.json", "generation_config.json"))):
        settings = read_json(path, "Export again: ./run.sh --stage 5") if path.exists() else {}
        changed = {**settings, "alignment_heads": heads}
        if not heads and path.name == "generation_config.json":
            del changed["alignment_heads"]
        if settings and settings != changed:
            write_json(path, changed)
