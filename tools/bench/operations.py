"""The operations of training steps, and the rate of plain matrix products, which is an upper limit for training."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.benchmark import Timer
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count
from transformers import TrainerCallback

_aten = torch.ops.aten


def _attention(query: torch.Size, key: torch.Size, value: torch.Size, *_: Any, **__: Any) -> int:
    return sdpa_flop_count(query, key, value)


def _attention_backward(grad: torch.Size, query: torch.Size, key: torch.Size, value: torch.Size, *_: Any,
                        **__: Any) -> int:
    return sdpa_backward_flop_count(grad, query, key, value)


_CPU_ATTENTION = {  # PyTorch counts those of GPUs only
    _aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    _aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}


class OperationsCounter(TrainerCallback):
    """Counts multiplications and additions of the first ``steps`` steps, which it makes slower.

    Matrix products, convolutions and attention are counted, in forward and backward; element-wise operations are not.
    """

    def __init__(self, steps: int) -> None:
        self.operations = 0
        self._left = steps
        self._counting: FlopCounterMode | None = None

    def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
        """Called by the trainer."""
        if self._left:
            self._left -= 1
            self._counting = FlopCounterMode(display=False, custom_mapping=_CPU_ATTENTION).__enter__()

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        """Called by the trainer."""
        if self._counting:
            self._counting.__exit__(None, None, None)
            self.operations += self._counting.get_total_flops()
            self._counting = None


def matrix_product_rate(rows: int, width: int, device: str) -> float:
    """Operations a second of (rows, width) by (width, 4 * width) in float32, the largest product of a Whisper layer."""
    left, right = torch.randn(rows, width, device=device), torch.randn(width, 4 * width, device=device)
    timer = Timer("left @ right", globals={"left": left, "right": right}, num_threads=torch.get_num_threads())
    return 2 * left.numel() * right.shape[1] / timer.blocked_autorange(min_run_time=1).median
