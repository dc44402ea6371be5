"""Decoding with CTranslate2: one encoder pass serves both tasks, and short windows are not padded to 30 s."""

from __future__ import annotations

import os
from pathlib import Path

import ctranslate2
import numpy as np
from transformers import WhisperTokenizer

from utils.decode.decoder import Decoder, Search, Tokens
from utils.errors import UserError

_CPU_FRAMES = 4_000  # of a batch; a core is not faster with larger ones, and cores share small ones more evenly


def resolve_runtime(device: str, compute_type: str) -> tuple[str, str]:
    """The device and compute type that ``auto`` means here: the GPU if there is one; the type of the saved model.

    Returns:
        ``cpu`` or ``cuda``, and a compute type of CTranslate2; ``default`` is that of the saved model.

    Raises:
        UserError: the device is not there or does not support the type (most CPUs have no float16). The message
            begins with ``device`` or ``compute_type``.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise UserError(f"device must be auto, cpu or cuda, not {device!r}")
    if device == "auto":
        device = "cuda" if ctranslate2.get_cuda_device_count() else "cpu"
    if device == "cuda" and not ctranslate2.get_cuda_device_count():
        raise UserError("device: cuda, but CTranslate2 sees no GPU here; use cpu or auto")
    if compute_type == "auto":
        return device, "default"
    supported = ctranslate2.get_supported_compute_types(device)
    if compute_type not in (*supported, "default", "auto"):
        raise UserError(f"compute_type: this {device} has no {compute_type}; "
                        f"it has {', '.join(sorted(supported))}")
    return device, compute_type


class Ct2Decoder(Decoder):
    """Greedy or beam search with a CTranslate2 Whisper directory.

    On a CPU each core decodes its own batch, which is faster than all cores on one batch.

    Raises:
        UserError: the directory is no CTranslate2 model, or ``device`` and ``compute_type`` do not fit this machine.
    """

    def __init__(self, model_dir: str | Path, tokenizer: WhisperTokenizer, *, beam_size: int = 1,
                 device: str = "auto", compute_type: str = "auto", before_prompt: Tokens | None = None) -> None:
        super().__init__(tokenizer, beam_size, before_prompt)
        try:
            device, compute_type = resolve_runtime(device, compute_type)
        except UserError as error:
            raise UserError(f"dev_env.conf.{error}") from None
        if device == "cpu":
            self.workers, self.max_frames = len(os.sched_getaffinity(0)), _CPU_FRAMES
        try:
            self.model = ctranslate2.models.Whisper(str(model_dir), device=device, compute_type=compute_type,
                                                    inter_threads=self.workers, intra_threads=1)
        except (RuntimeError, ValueError) as error:
            raise UserError(f"{model_dir}: CTranslate2 cannot load it: {error}") from None
        self.compute_type = self.model.compute_type
        self.device = device

    def encode(self, features: np.ndarray) -> ctranslate2.StorageView:
        """Encoder outputs of shape (batch, ceil(frames / 2), d_model), on the model's device."""
        return self.model.encode(ctranslate2.StorageView.from_array(np.ascontiguousarray(features)))

    def generate(self, encoded: ctranslate2.StorageView, prompts: list[list[Tokens]],
                 search: Search) -> list[list[Tokens]]:
        """Tokens of every target; see :class:`~utils.decode.decoder.Decoder`."""
        found: list[list[Tokens]] = [[] for _ in prompts]
        for targets in zip(*prompts, strict=True):  # each time one prompt of every utterance
            # CTranslate2 stops at half of max_length, or where prompt and text together have reached it.
            longest = max(2 * search.max_tokens, len(targets[0]) + search.max_tokens)
            results = self.model.generate(encoded, list(targets), beam_size=search.beam_size,
                                          no_repeat_ngram_size=search.no_repeat_ngram,
                                          max_length=longest)
            for tokens, result in zip(found, results, strict=True):
                tokens.append(result.sequences_ids[0])
        return found
