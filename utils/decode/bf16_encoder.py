"""CTranslate2's search behind PyTorch's encoder in bf16, which a CPU with AMX computes five times as fast as float32.

CTranslate2 has no bf16 on CPUs. Of a window of 30 s, encoding is most of the work.
"""

from __future__ import annotations

from pathlib import Path

import ctranslate2
import numpy as np
import torch
from torch import nn
from transformers import WhisperTokenizer

from utils.decode.ct2_decoder import Ct2Decoder


class Bf16EncoderDecoder(Ct2Decoder):
    """Greedy or beam search with a CTranslate2 directory and the encoder of the same model.

    Args:
        encoder: takes (batch, num_mels, frames); it is moved to bf16.
        model_dir: the CTranslate2 directory; its decoder is used, in the precision that it was saved in.
    """

    def __init__(self, encoder: nn.Module, model_dir: str | Path, tokenizer: WhisperTokenizer, *,
                 beam_size: int = 1) -> None:
        super().__init__(model_dir, tokenizer, beam_size=beam_size, device="cpu")
        self._encoder = encoder.to(torch.bfloat16).eval()
        self.compute_type += ", encoder bf16"
        torch.set_num_threads(1)  # each worker encodes its own batch

    @torch.inference_mode()
    def encode(self, features: np.ndarray) -> ctranslate2.StorageView:
        """Encoder outputs of shape (batch, ceil(frames / 2), d_model), in float32."""
        outputs = self._encoder(torch.from_numpy(np.ascontiguousarray(features)).to(torch.bfloat16)).last_hidden_state
        return ctranslate2.StorageView.from_array(outputs.float().contiguous().numpy())
