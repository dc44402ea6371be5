"""Whisper for several targets of one utterance: a short-context encoder and a decoder over packed targets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import WhisperConfig, WhisperForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutput
from transformers.models.whisper.modeling_whisper import WhisperEncoder
from transformers.utils.generic import ModelOutput

from utils.errors import UserError
from utils.model.sampled_silence import SampledSilence

IGNORED = -100  # label that the loss ignores, as in PyTorch


class ShortContextEncoder(WhisperEncoder):
    """Whisper's encoder for any number of frames up to 3000: position embeddings are sliced, nothing else changes."""

    def forward(self, input_features: torch.Tensor, attention_mask: None = None,
                silence: SampledSilence | None = None, **_: Any) -> BaseModelOutput:
        """Encode a batch.

        Args:
            input_features: (batch, num_mels, frames), frames at most 3000.
            silence: the silence after the features; its first ``EDGE_FRAMES`` frames are part of ``input_features``.

        Returns:
            last_hidden_state of shape (batch, ceil(frames / 2), d_model); with ``silence``, its sample comes last: see
            :meth:`SampledSilence.append`.
        """
        hidden = nn.functional.gelu(self.conv1(input_features))
        hidden = nn.functional.gelu(self.conv2(hidden)).transpose(1, 2)
        if hidden.shape[1] > self.max_source_positions:
            raise ValueError(f"{input_features.shape[-1]} frames; the encoder takes {2 * self.max_source_positions}")
        if silence is None:
            hidden = hidden + self.embed_positions.weight[: hidden.shape[1]]
        else:
            hidden = silence.append(hidden, self.embed_positions.weight)
        bias = silence.bias(hidden) if silence else None
        hidden = nn.functional.dropout(hidden, p=self.dropout, training=self.training)
        for layer in self.layers:
            hidden = layer(hidden, bias)
        return BaseModelOutput(last_hidden_state=self.layer_norm(hidden))


class MultitaskWhisper(WhisperForConditionalGeneration):
    """The stock model and its parameter names, with a short-context encoder and a training pass over packed targets."""

    def __init__(self, config: WhisperConfig) -> None:
        super().__init__(config)
        self.model.encoder = ShortContextEncoder(config)
        self.post_init()

    def forward(self, input_features: torch.Tensor | None = None, decoder_segments: torch.Tensor | None = None,
                labels: torch.Tensor | None = None, encoder_outputs: BaseModelOutput | None = None,
                encoder_hidden_states: torch.Tensor | None = None, silence: SampledSilence | None = None,
                **kwargs: Any) -> ModelOutput:
        """Without ``decoder_segments``: the stock forward pass. With them: the loss of packed targets.

        Args:
            input_features: (batch, num_mels, frames).
            decoder_segments: (batch, length), the number of each token's target in its utterance; -1 is padding.
            labels: (batch, length), the next token, or -100 where the loss ignores it.
            encoder_hidden_states: (batch, positions, d_model), the encoder's output for ``input_features``.
            silence: the silence after ``input_features`` in their window, for packed targets only.
            encoder_outputs: for the stock pass only; named because ``generate`` refuses names outside the signature.
            kwargs: ``decoder_input_ids`` and ``decoder_position_ids``, both (batch, length).

        Returns:
            ``loss``: cross entropy summed over the labels that are not ignored; ``num_labels``: their number;
            with ``return_logits=True`` also ``logits`` (num_labels, vocabulary).
        """
        if decoder_segments is None:
            return super().forward(input_features, labels=labels, encoder_outputs=encoder_outputs, **kwargs)
        return_logits = kwargs.pop("return_logits", False)
        if encoder_hidden_states is None:
            if self.training:  # SpecAugment, if config.json asks for it
                input_features = self.model._mask_input_features(input_features)
            encoder_hidden_states = self.model.encoder(input_features, silence=silence).last_hidden_state
        hidden = self._decode(kwargs["decoder_input_ids"], kwargs["decoder_position_ids"],
                              packed_causal_mask(decoder_segments), encoder_hidden_states, silence)
        assert labels is not None  # packed targets always have labels
        counted = labels != IGNORED  # the vocabulary projection is the decoder's most expensive part
        logits = self.proj_out(hidden[counted])
        loss = nn.functional.cross_entropy(logits.float(), labels[counted], reduction="sum",
                                           label_smoothing=kwargs.pop("label_smoothing", 0.0))
        return ModelOutput(loss=loss, num_labels=counted.sum(), **({"logits": logits} if return_logits else {}))

    def _decode(self, token_ids: torch.Tensor, position_ids: torch.Tensor, mask: torch.Tensor, encoded: torch.Tensor,
                silence: SampledSilence | None) -> torch.Tensor:
        """The stock decoder's training pass, with a bias of the cross-attention: (batch, length, d_model)."""
        decoder = self.model.decoder
        hidden = decoder.embed_tokens(token_ids) + decoder.embed_positions.weight[position_ids]
        hidden = nn.functional.dropout(hidden, p=decoder.dropout, training=self.training)
        bias = silence.bias(encoded) if silence else None
        for layer in decoder.layers:
            hidden = layer(hidden, mask, encoded, encoder_attention_mask=bias, use_cache=False)
        return decoder.layer_norm(hidden)


def require_no_layerdrop(config: WhisperConfig, model_dir: Path) -> None:
    """Refuse to train with layerdrop, which skips layers at random: each process would skip other layers.

    Raises:
        UserError: the base model's config.json asks for it.
    """
    for name in ("encoder_layerdrop", "decoder_layerdrop"):
        if getattr(config, name):
            raise UserError(f"{model_dir}/config.json: {name}: {getattr(config, name)} is not supported; set it to 0.0 "
                            "there, and dropout or model.lora.dropout instead")


def packed_causal_mask(segments: torch.Tensor) -> torch.Tensor:
    """Causal mask within each target: a token attends to itself and to earlier tokens of its segment.

    Args:
        segments: (batch, length).

    Returns:
        (batch, 1, length, length), true where attention is allowed.
    """
    length = segments.shape[1]
    same = segments[:, :, None] == segments[:, None, :]
    return (same & torch.ones(length, length, dtype=torch.bool, device=segments.device).tril())[:, None]
