"""The fused LoRA layer is PEFT's own in everything but its speed."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import Linear as LoraLinear
from torch import nn

from utils.config import LoraOptions
from utils.model.checkpoints import load_base_model
from utils.model.lora import FusedLoraLinear, add_lora, fuse_lora


class Layers(nn.Module):
    """With and without bias, wide and narrow."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(24, 40)
        self.second = nn.Linear(40, 8, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(torch.nn.functional.gelu(self.first(x)))


@pytest.fixture
def pair() -> Iterator[tuple[PeftModel, PeftModel]]:
    """PEFT's layers and fused ones with the same weights."""
    torch.manual_seed(0)
    plain = get_peft_model(Layers(), LoraConfig(r=4, lora_alpha=6, target_modules=["first", "second"]))
    for parameter in plain.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, std=0.3)
    fused = copy.deepcopy(plain)
    assert fuse_lora(fused) == 2
    assert fuse_lora(fused) == 0
    return plain, fused


def run(model: nn.Module, x: torch.Tensor, autocast: bool = False) -> dict[str, torch.Tensor]:
    """The output, and the gradients of input and parameters."""
    x = x.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        y = model(x)
    weight = torch.sin(torch.arange(y.numel(), dtype=torch.float32)).view(y.shape)
    (y.float() * weight).sum().backward()
    grads = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}
    return {"y": y, "x": x.grad, **grads}


def assert_equal(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor], tolerance: float) -> None:
    """``tolerance`` is relative to the largest element."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].dtype == value.dtype, name
        difference = (found[name] - value).detach().abs().max()
        assert float(difference) <= tolerance * float(value.detach().abs().max()), name


@pytest.mark.parametrize("shape", [(24,), (5, 24), (2, 5, 24), (2, 3, 5, 24)])
def test_outputs_and_gradients_are_pefts(pair: tuple[PeftModel, PeftModel], shape: tuple[int, ...]) -> None:
    plain, fused = (run(model, torch.randn(shape, generator=torch.Generator().manual_seed(1))) for model in pair)
    assert len(plain) == 2 + 4
    assert_equal(fused, plain, 1e-5)


def test_under_autocast_they_are_pefts_up_to_bf16(pair: tuple[PeftModel, PeftModel]) -> None:
    """bf16 has 8 bits: roundings at other places differ by some 2^-8 of a value, and add up over three products."""
    plain, fused = (run(model, torch.randn(50, 24, generator=torch.Generator().manual_seed(1)), autocast=True)
                    for model in pair)
    assert plain["y"].dtype == torch.bfloat16
    assert_equal(fused, plain, 0.03)


def test_what_is_not_contiguous_is_taken(pair: tuple[PeftModel, PeftModel]) -> None:
    x = torch.randn(24, 7, generator=torch.Generator().manual_seed(1)).T
    assert torch.allclose(pair[1](x), pair[0](x), atol=1e-5)


def test_analytic_gradients_are_numeric_ones(pair: tuple[PeftModel, PeftModel]) -> None:
    fused = pair[1].double()
    parameters = tuple(parameter for parameter in fused.parameters() if parameter.requires_grad)
    x = torch.randn(3, 24, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, *_: fused(x), (x, *parameters))


def test_frozen_weights_stay_without_gradient_and_constants_need_none(pair: tuple[PeftModel, PeftModel]) -> None:
    fused = pair[1]
    fused(torch.randn(5, 24)).sum().backward()
    assert all((parameter.grad is not None) == ("lora_" in name) for name, parameter in fused.named_parameters())


def test_adapters_can_be_disabled_merged_and_unmerged(pair: tuple[PeftModel, PeftModel]) -> None:
    plain, fused = pair
    x = torch.randn(5, 24)
    tuned = fused(x)
    base = plain.get_base_model()
    with fused.disable_adapter(), plain.disable_adapter():
        assert torch.equal(fused(x), plain(x))
        assert not torch.allclose(fused(x), tuned, atol=0.1)
    assert torch.equal(fused(x), tuned)
    fused.merge_adapter()
    assert torch.allclose(fused(x), tuned, atol=1e-4)
    fused.unmerge_adapter()
    assert torch.allclose(fused(x), tuned, atol=1e-4)
    assert isinstance(base.first, LoraLinear)


def test_layers_with_dropout_stay_pefts() -> None:
    model = get_peft_model(Layers(), LoraConfig(r=4, lora_dropout=0.1, target_modules=["first", "second"]))
    assert fuse_lora(model) == 0
    assert not any(isinstance(module, FusedLoraLinear) for module in model.modules())


def test_a_saved_adapter_is_plain_peft(pair: tuple[PeftModel, PeftModel], tmp_path: Path) -> None:
    _, fused = pair
    fused.save_pretrained(tmp_path)
    torch.manual_seed(0)
    loaded = PeftModel.from_pretrained(Layers(), tmp_path)
    assert type(loaded.base_model.model.first) is LoraLinear
    x = torch.randn(5, 24)
    assert torch.allclose(loaded(x), fused(x), atol=1e-5)


def test_whisper_is_fused_as_a_whole(tiny_whisper: Path) -> None:
    """2 layers: 4 projections of self-attention and fc1, fc2 on both sides, 4 of cross-attention."""
    tuned = add_lora(load_base_model(tiny_whisper), LoraOptions(r=4))
    assert fuse_lora(tuned) == 2 * (6 + 10)
