"""Decoding with CTranslate2: one encoder pass serves both tasks, and short windows are taken as they are."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import ctranslate2
import numpy as np
from transformers import WhisperTokenizerFast

from utils.errors import UserError
from utils.multitask_data import Utterance, stack_feats
from utils.prompts import MAX_TARGET_TOKENS, prompt_ids


def resolve_runtime(device: str, compute_type: str) -> tuple[str, str]:
    """``auto`` made concrete: the GPU if there is one; the type that the model was saved in, if the device has it.

    Raises:
        UserError: the device is not there or does not support the type (most CPUs have no float16).
    """
    if device not in ("auto", "cpu", "cuda"):
        raise UserError(f"dev_env.conf.device must be auto, cpu or cuda, not {device!r}")
    if device == "auto":
        device = "cuda" if ctranslate2.get_cuda_device_count() else "cpu"
    if device == "cuda" and not ctranslate2.get_cuda_device_count():
        raise UserError("dev_env.conf.device: cuda, but CTranslate2 sees no GPU here; use cpu or auto")
    if compute_type == "auto":
        return device, "default"
    supported = ctranslate2.get_supported_compute_types(device)
    if compute_type not in (*supported, "default", "auto"):
        raise UserError(f"dev_env.conf.compute_type: this {device} has no {compute_type}; "
                        f"it has {', '.join(sorted(supported))}")
    return device, compute_type


class Ct2Decoder:
    """Greedy or beam search with a CTranslate2 Whisper directory.

    On a CPU every core works on a batch of its own, which is faster than all cores on one.

    Raises:
        UserError: the directory is no CTranslate2 model, or ``device`` and ``compute_type`` do not fit this machine.
    """

    def __init__(self, model_dir: str | Path, tokenizer: WhisperTokenizerFast, *, beam_size: int = 1,
                 device: str = "auto", compute_type: str = "auto") -> None:
        device, compute_type = resolve_runtime(device, compute_type)
        self.workers = len(os.sched_getaffinity(0)) if device == "cpu" else 1
        try:
            self.model = ctranslate2.models.Whisper(str(model_dir), device=device, compute_type=compute_type,
                                                    inter_threads=self.workers, intra_threads=1)
        except (RuntimeError, ValueError) as error:
            raise UserError(f"{model_dir}: CTranslate2 cannot load it: {error}") from None
        self.compute_type = self.model.compute_type
        self.device = device
        self.beam_size = beam_size
        self.tokenizer = tokenizer

    def __call__(self, utterances: Sequence[Utterance], feats: Sequence[np.ndarray],
                 num_frames: int) -> dict[str, str]:
        """Hypotheses of a batch whose utterances all have the same number of targets.

        Args:
            feats: (frames, num_mels) of each utterance.
            num_frames: what all are padded to.

        Returns:
            key -> text, for every key of every utterance.
        """
        features = np.ascontiguousarray(stack_feats(feats, num_frames).numpy())
        encoded = self.model.encode(ctranslate2.StorageView.from_array(features))
        hypotheses: dict[str, str] = {}
        for keys in zip(*(utterance.keys for utterance in utterances), strict=True):
            results = self.model.generate(encoded, [prompt_ids(self.tokenizer, key) for key in keys],
                                          beam_size=self.beam_size, max_length=MAX_TARGET_TOKENS)
            tokens = [result.sequences_ids[0] for result in results]
            texts = self.tokenizer.batch_decode(tokens, skip_special_tokens=True)
            hypotheses |= {key: text.strip() for key, text in zip(keys, texts, strict=True)}
        return hypotheses
