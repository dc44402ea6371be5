"""The outputs of one checkpoint in transformers and in CTranslate2 for the same features."""

from __future__ import annotations

from pathlib import Path

import torch


def generated_by_hf(directory: Path, features: torch.Tensor, n_tokens: int) -> list[int]:
    """Greedy, French to French, the text tokens only."""
    from transformers import WhisperForConditionalGeneration

    model = WhisperForConditionalGeneration.from_pretrained(directory)
    tokens = model.generate(features, language="fr", task="transcribe", max_new_tokens=n_tokens, num_beams=1,
                            do_sample=False)[0].tolist()
    return [token for token in tokens if token < 50257]


def generated_by_ct2(directory: Path, features: torch.Tensor, n_tokens: int) -> list[int]:
    import ctranslate2

    model = ctranslate2.models.Whisper(str(directory), compute_type="float32", intra_threads=1)
    prompt = [50258, 50265, 50359, 50363]
    result = model.generate(ctranslate2.StorageView.from_array(features.numpy()), [prompt], beam_size=1,
                            max_length=2 * (n_tokens + len(prompt)))
    return [token for token in result[0].sequences_ids[0] if token < 50257][:n_tokens]
