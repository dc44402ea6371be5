"""Whether this CPU computes matrix products in bf16 faster than in float32: with AMX, AVX512-BF16 or Arm's BF16.

It is measured, since what a CPU says it has, and what PyTorch makes of it, differ.
"""

from __future__ import annotations

import time
from functools import cache

import torch

_SHAPE = (1500, 512, 2048)  # of whisper-base's widest product, for a window of 30 s
_LEAST_GAIN = 1.5  # casting, and what stays in float32, take some of the gain
_SECONDS = 0.4  # of each precision


@cache
def bf16_gain() -> float:
    """How many times as fast a matrix product is in bf16 as in float32, on the CPU with torch's threads; takes 1 s."""
    rates = [_products_per_second(dtype) for dtype in (torch.bfloat16, torch.float32)]
    return rates[0] / rates[1]


def has_fast_bf16() -> bool:
    """Whether training and decoding on this CPU gain from bf16."""
    return bf16_gain() >= _LEAST_GAIN


def _products_per_second(dtype: torch.dtype) -> float:
    """The best of several short rates: another process may take a thread for a while."""
    rows, inner, columns = _SHAPE
    left, right = torch.ones(rows, inner, dtype=dtype), torch.ones(inner, columns, dtype=dtype)
    best, end = 0.0, time.perf_counter() + _SECONDS
    while not best or time.perf_counter() < end:
        began = time.perf_counter()
        left @ right
        best = max(best, 1 / (time.perf_counter() - began))
    return best
