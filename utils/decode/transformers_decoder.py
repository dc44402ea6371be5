"""Decoding with transformers: greedy or beam search, several targets for each utterance."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from transformers import (
    GenerationConfig,
    GenerationMixin,
    StoppingCriteria,
    StoppingCriteriaList,
    WhisperTokenizer,
)
from transformers.modeling_outputs import BaseModelOutput

from utils.decode.decoder import Decoder, Search, Tokens
from utils.decode.loops import looping
from utils.model.modeling import MultitaskWhisper


class _LoopStop(StoppingCriteria):
    """Ends hypotheses that loop, so that they do not delay the rest of the batch.

    Args:
        per_character: tokens that count as a character, shape (hypotheses,).
    """

    def __init__(self, per_character: torch.Tensor) -> None:
        self.per_character = per_character
        self.values = per_character.unique().tolist()

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        stopped = torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)
        if input_ids.shape[1] % 8 == 0:  # every eighth token is enough
            for value in self.values:
                stopped |= looping(input_ids, value) & (self.per_character == value)
        return stopped


class TransformersDecoder(Decoder):
    """Greedy or beam search with a model from :mod:`utils.model.modeling`.

    Args:
        model: on the device and in the precision to decode with; it is put into evaluation mode.
    """

    def __init__(self, model: MultitaskWhisper, tokenizer: WhisperTokenizer, beam_size: int = 1) -> None:
        super().__init__(tokenizer, beam_size)
        self.model = model.eval()

    @torch.inference_mode()
    def encode(self, features: np.ndarray) -> torch.Tensor:
        """Encoder outputs of shape (batch, ceil(frames / 2), d_model), on the model's device."""
        inputs = torch.from_numpy(features).to(self.model.device, self.model.dtype)
        return self.model.model.encoder(inputs).last_hidden_state

    @torch.inference_mode()
    def generate(self, encoded: torch.Tensor, prompts: list[list[Tokens]], search: Search) -> list[list[Tokens]]:
        """Tokens of every target; see :class:`Decoder`."""
        model, stock = self.model, self.model.generation_config
        rows = torch.tensor([row for row, targets in enumerate(prompts) for _ in targets], device=model.device)
        inputs = torch.tensor([prompt for targets in prompts for prompt in targets], device=model.device)
        per_character = torch.tensor(search.per_character or [1] * len(rows), device=model.device)
        end = model.config.eos_token_id
        config = GenerationConfig(
            max_length=inputs.shape[1] + search.max_tokens, num_beams=search.beam_size, do_sample=False, use_cache=True,
            no_repeat_ngram_size=search.no_repeat_ngram, eos_token_id=end,
            pad_token_id=end,  # not the config's, which may be another (large-v3): a stopped loop would end in these
            decoder_start_token_id=model.config.decoder_start_token_id,
            suppress_tokens=stock.suppress_tokens or None, begin_suppress_tokens=stock.begin_suppress_tokens or None)
        # Whisper's own generate() takes one task for each batch, and may run the encoder again to detect the language.
        outputs = GenerationMixin.generate(
            model, generation_config=config, decoder_input_ids=inputs,
            encoder_outputs=BaseModelOutput(last_hidden_state=encoded[rows]),  # type: ignore[arg-type]  # any Tensor
            stopping_criteria=StoppingCriteriaList([_LoopStop(per_character)] if search.beam_size == 1 else []),
            attention_mask=torch.ones(len(rows), encoded.shape[1], dtype=torch.long, device=model.device))
        found = iter(outputs[:, inputs.shape[1]:].tolist())
        return [[self._until_end(next(found)) for _ in targets] for targets in prompts]

    def _until_end(self, tokens: Tokens) -> Tokens:
        end = self.model.config.eos_token_id
        return tokens[:tokens.index(end)] if end in tokens else tokens
