"""Keeps encoder outputs between epochs, for training with a frozen encoder."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path

import torch
from torch import nn
from transformers import WhisperConfig

from utils.config import ModelConfig
from utils.errors import UserError
from utils.model.sampled_silence import SampledSilence


class EncoderCache:
    """The encoder's outputs for each batch, in main memory. Batches must be the same in every epoch."""

    def __init__(self, encoder: nn.Module) -> None:
        self._encoder = encoder
        self._outputs: dict[Hashable, torch.Tensor] = {}

    def __call__(self, batch_id: Hashable, input_features: torch.Tensor,
                 silence: SampledSilence | None = None) -> torch.Tensor:
        """Return (batch, positions, d_model), see :class:`~utils.model.modeling.ShortContextEncoder`."""
        if batch_id not in self._outputs:
            with torch.no_grad():
                self._outputs[batch_id] = self._encoder(input_features, silence=silence).last_hidden_state.cpu()
        return self._outputs[batch_id].to(input_features.device)


def require_same_outputs(config: WhisperConfig, model_dir: Path) -> None:
    """Refuse to keep the outputs of an encoder that makes others each time.

    Raises:
        UserError: the base model's config.json asks for dropout or SpecAugment.
    """
    names = ("dropout", "attention_dropout", "activation_dropout", "apply_spec_augment")
    if asked := [name for name in names if getattr(config, name)]:
        raise UserError(f"{model_dir}/config.json: {asked[0]}: {getattr(config, asked[0])} makes other encoder outputs "
                        "in each epoch; set it to 0 there, or model.cache_encoder: false")


def require_frozen_encoder(options: ModelConfig) -> None:
    """Check that the encoder is frozen.

    Raises:
        UserError: the encoder has trainable parameters.
    """
    if not options.is_large_model or options.lora.encoder:
        raise UserError("model.cache_encoder: true keeps the encoder's outputs, so the encoder must be frozen: set "
                        "model.lora.encoder: false (and is_large_model: true)")
