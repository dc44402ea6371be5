"""Whisper for several targets of one utterance: a short-context encoder and a decoder over packed targets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn
from transformers import WhisperConfig, WhisperForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutput, ModelOutput
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from utils.config import LoraOptions
from utils.errors import UserError
from utils.model.sampled_silence import SampledSilence
from utils.train.dataset import IGNORED


class ShortContextEncoder(WhisperEncoder):
    """Whisper's encoder for as many frames as there are: position embeddings are sliced, nothing else changes."""

    def forward(self, input_features: torch.Tensor, attention_mask: None = None,
                silence: SampledSilence | None = None, **_: Any) -> BaseModelOutput:
        """Encode a batch.

        Args:
            input_features: (batch, num_mels, frames), frames at most 3000.
            silence: what follows the features in their window; they end in its first ``EDGE_FRAMES`` frames.

        Returns:
            last_hidden_state of shape (batch, ceil(frames / 2), d_model); with ``silence``, its sample comes last, see
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
        """Without ``decoder_segments``: the stock forward pass. With them: loss of packed targets.

        Args:
            input_features: (batch, num_mels, frames).
            decoder_segments: (batch, length): which target of the utterance a token belongs to; -1 is padding.
            labels: (batch, length): the next token, or -100 where it does not count.
            encoder_hidden_states: (batch, positions, d_model): what the encoder would make of ``input_features``.
            silence: what follows ``input_features`` in their window, for packed targets only.
            encoder_outputs: for the stock pass only; ``generate`` refuses what the signature does not name.
            kwargs: ``decoder_input_ids`` and ``decoder_position_ids``, both (batch, length).

        Returns:
            ``loss``: cross entropy summed over the labels that count; ``num_labels``: how many they are;
            with ``return_logits=True`` also ``logits`` (num_labels, vocabulary).
        """
        if decoder_segments is None:
            return super().forward(input_features, labels=labels, encoder_outputs=encoder_outputs, **kwargs)
        return_logits = kwargs.pop("return_logits", False)
        if encoder_hidden_states is None:
            encoder_hidden_states = self.model.encoder(input_features, silence=silence).last_hidden_state
        hidden = self._decode(kwargs["decoder_input_ids"], kwargs["decoder_position_ids"],
                              packed_causal_mask(decoder_segments), encoder_hidden_states, silence)
        counted = labels != IGNORED  # the vocabulary projection is the decoder's dearest part: only where it counts
        logits = self.proj_out(hidden[counted])
        loss = nn.functional.cross_entropy(logits.float(), labels[counted], reduction="sum",
                                           label_smoothing=kwargs.pop("label_smoothing", 0.0))
        return ModelOutput(loss=loss, num_labels=counted.sum(), **({"logits": logits} if return_logits else {}))

    def _decode(self, token_ids: torch.Tensor, position_ids: torch.Tensor, mask: torch.Tensor, encoded: torch.Tensor,
                silence: SampledSilence | None) -> torch.Tensor:
        """The stock decoder's training pass, whose cross-attention may weigh its keys: (batch, length, d_model)."""
        decoder = self.model.decoder
        hidden = decoder.embed_tokens(token_ids) + decoder.embed_positions.weight[position_ids]
        hidden = nn.functional.dropout(hidden, p=decoder.dropout, training=self.training)
        bias = silence.bias(encoded) if silence else None
        for layer in decoder.layers:
            hidden = layer(hidden, mask, encoded, encoder_attention_mask=bias, use_cache=False)
        return decoder.layer_norm(hidden)


def packed_causal_mask(segments: torch.Tensor) -> torch.Tensor:
    """Who may look at whom: earlier tokens of the same segment.

    Args:
        segments: (batch, length).

    Returns:
        (batch, 1, length, length), true where attention is allowed.
    """
    length = segments.shape[1]
    same = segments[:, :, None] == segments[:, None, :]
    return (same & torch.ones(length, length, dtype=torch.bool, device=segments.device).tril())[:, None]


def load_base_model(model_dir: str | Path, dtype: torch.dtype = torch.float32) -> MultitaskWhisper:
    """A Whisper checkpoint from a local directory (safetensors only).

    Raises:
        UserError: there is no such checkpoint, or it is damaged or not complete.
    """
    try:
        model, info = MultitaskWhisper.from_pretrained(
            model_dir, local_files_only=True, use_safetensors=True, dtype=dtype, attn_implementation="sdpa",
            output_loading_info=True)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise UserError(f"{model_dir}: no Whisper checkpoint could be read there: {error}") from None
    if model.config.model_type != "whisper":
        raise UserError(f"{model_dir}: a {model.config.model_type} model, not Whisper")
    if info["missing_keys"]:  # transformers would go on with random numbers
        raise UserError(f"{model_dir}: the checkpoint lacks {min(info['missing_keys'])} and "
                        f"{len(info['missing_keys']) - 1} other weights that its config.json asks for")
    return model


def is_adapter(path: str | Path) -> bool:
    """Whether ``path`` is a PEFT adapter directory rather than a whole model."""
    return (Path(path) / "adapter_config.json").is_file()


def load_tuned_model(path: str | Path, base_dir: str | Path, dtype: torch.dtype = torch.float32) -> MultitaskWhisper:
    """A whole model, or an adapter merged into its base: a plain Whisper either way.

    Args:
        base_dir: the model the adapter was trained on; not used for a whole model.

    Raises:
        UserError: a part is missing or does not fit.
    """
    if not is_adapter(path):
        return load_base_model(path, dtype)
    from peft import PeftModel, get_peft_model_state_dict

    _require_plain_lora(Path(path) / "adapter_config.json")
    base = load_base_model(base_dir, torch.float32)  # merging in less precision would lose the update's small parts
    try:
        with safe_open(Path(path) / "adapter_model.safetensors", "pt") as stored:
            names = set(stored.keys())
        tuned = PeftModel.from_pretrained(base, str(path))
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise UserError(f"{path}: no adapter there that fits {base_dir}: {str(error).splitlines()[0]}") from None
    different = names ^ get_peft_model_state_dict(tuned).keys()
    if different:  # PEFT leaves out what does not fit, and what is missing
        raise UserError(f"{path}: the adapter is of another model than {base_dir}: {min(different)} is in one only")
    return tuned.merge_and_unload().to(dtype)


def _require_plain_lora(config_file: Path) -> None:
    """Refuse what PEFT would load by importing a module that the file names (``megatron_core``)."""
    try:
        config = json.loads(config_file.read_text(encoding="utf-8"))
        plain = config["peft_type"] == "LORA" and not config.get("megatron_config")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        plain = False
    if not plain:
        raise UserError(f"{config_file}: not of a plain LoRA adapter, as this recipe trains them. Name another adapter")


def add_lora(model: WhisperForConditionalGeneration, options: LoraOptions) -> nn.Module:
    """Freeze ``model`` and put trainable low-rank adapters on the named projections.

    Raises:
        UserError: a name fits no layer.
    """
    from peft import LoraConfig, get_peft_model

    known = {name.rsplit(".", 1)[-1] for name, module in model.named_modules()
             if isinstance(module, nn.Linear) and ".layers." in name}
    if not options.target_modules:
        raise UserError(f"model.lora.target_modules is empty; Whisper has {', '.join(sorted(known))}")
    unknown = sorted(set(options.target_modules) - known)
    if unknown:
        raise UserError(f"model.lora.target_modules: no layer {unknown[0]}; there are {', '.join(sorted(known))}")
    side = "(encoder|decoder)" if options.encoder else "decoder"
    pattern = rf".*\.{side}\.layers\..*\.({'|'.join(options.target_modules)})"
    return get_peft_model(model, LoraConfig(r=options.r, lora_alpha=options.alpha, lora_dropout=options.dropout,
                                            target_modules=pattern))


def to_stock(model: MultitaskWhisper) -> WhisperForConditionalGeneration:
    """The same weights as transformers' own class, which is what others shall load."""
    with torch.device("meta"):
        stock = WhisperForConditionalGeneration(model.config)
    stock.load_state_dict(model.state_dict(), assign=True)
    stock.tie_weights()
    stock.generation_config = model.generation_config
    return stock


def count_parameters(model: nn.Module) -> tuple[int, int]:
    """Trainable parameters and all parameters."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    return sum(size for size, trained in sizes if trained), sum(size for size, _ in sizes)
