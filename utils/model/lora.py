"""LoRA: adapters on the model's projections, and a variant of PEFT's layer without element-wise passes.

PEFT computes ``W x + b`` and ``s * B(A x)`` separately, then scales and adds them. This takes three more passes over
the activations, which are kept for the backward pass. Here forward and backward pass are matrix products that
accumulate in place, ``y += s * (x A^T) B^T``. Parameters, their names and the saved adapter are those of PEFT.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from peft.tuners.lora import Linear as LoraLinear
from torch import nn
from torch.nn import functional
from transformers import WhisperForConditionalGeneration

from utils.config import LoraOptions
from utils.errors import UserError

if TYPE_CHECKING:
    from peft import PeftModel


class _LowRankUpdate(torch.autograd.Function):
    """``y = x W^T + bias + scale * (x A^T) B^T`` with frozen W (out, in), trainable A (rank, in) and B (out, rank)."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, a: torch.Tensor,
                b: torch.Tensor, scale: float) -> torch.Tensor:
        device = x.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
        with torch.autocast(device, enabled=False):
            rows = x.reshape(-1, x.shape[-1]).to(dtype)
            low = rows @ a.to(dtype).T
            y = functional.linear(rows, weight.to(dtype), None if bias is None else bias.to(dtype))
            y.addmm_(low, b.to(dtype).T, alpha=scale)
        ctx.save_for_backward(rows, low, weight, a, b)
        ctx.scale, ctx.input = scale, (x.shape, x.dtype)
        return y.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        rows, low, weight, a, b = ctx.saved_tensors
        shape, dtype = ctx.input
        grad = grad.reshape(-1, grad.shape[-1])
        low_grad = (grad @ b.to(grad.dtype)).mul_(ctx.scale)
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_x = (grad @ weight.to(grad.dtype)).addmm_(low_grad, a.to(grad.dtype)).view(shape).to(dtype)
        grad_a = (low_grad.T @ rows).to(a.dtype)
        grad_b = (grad.T @ low).mul_(ctx.scale).to(b.dtype)
        return grad_x, None, None, grad_a, grad_b, None


class FusedLoraLinear(LoraLinear):
    """PEFT's layer with a fused update for one active adapter without dropout; in other cases PEFT's forward pass."""

    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Map ``x`` (..., in) to (..., out)."""
        if self.disable_adapters or self.merged or len(self.active_adapters) != 1 or args or kwargs:
            return super().forward(x, *args, **kwargs)
        name = self.active_adapters[0]
        base = self.get_base_layer()
        return _LowRankUpdate.apply(x, base.weight, base.bias, self.lora_A[name].weight, self.lora_B[name].weight,
                                    self.scaling[name])


def fuse_lora(model: nn.Module) -> int:
    """Turn every plain LoRA layer of a PEFT model into a :class:`FusedLoraLinear`; return their number."""
    count = 0
    for module in model.modules():
        if (type(module) is LoraLinear and isinstance(module.get_base_layer(), nn.Linear)
                and all(isinstance(dropout, nn.Identity) for dropout in module.lora_dropout.values())):
            module.__class__ = FusedLoraLinear
            count += 1
    return count


def add_lora(model: WhisperForConditionalGeneration, options: LoraOptions) -> PeftModel:
    """Freeze ``model``, add trainable adapters to ``options.target_modules``, and return the PEFT model.

    Raises:
        UserError: ``target_modules`` is empty, or a name in it matches no layer.
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


def cast_frozen(model: nn.Module, dtype: torch.dtype) -> None:
    """Store the frozen weights of matrix products in ``dtype``, so that no step has to cast them."""
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv1d) and not any(
                parameter.requires_grad for parameter in module.parameters()):
            module.to(dtype)


def count_parameters(model: nn.Module) -> tuple[int, int]:
    """Return the numbers of trainable parameters and of all parameters."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    return sum(size for size, trained in sizes if trained), sum(size for size, _ in sizes)
