"""Initial weights: what the authors start pre-training and fine-tuning from."""

from collections.abc import Callable

from torch import nn

_TOKEN_STD = 0.02


def init_pretraining(model: nn.Module) -> None:
    """Linear maps Xavier-uniform with zero bias; tokens normal, cut at one deviation; the rest as torch has it."""
    _linears(model, lambda layer: nn.init.xavier_uniform_(layer.weight))
    _tokens(model)


def init_finetuning(model: nn.Module) -> None:
    """Encoders: linear maps normal, 0.02. Fusion: Xavier-uniform. The head as torch has it."""
    for name, child in model.named_children():
        if name.startswith("encoder"):
            _linears(child, lambda layer: nn.init.trunc_normal_(layer.weight, std=_TOKEN_STD))
        elif name == "fusion":
            _linears(child, lambda layer: nn.init.xavier_uniform_(layer.weight))
    _tokens(model)


def _linears(model: nn.Module, fill: Callable[[nn.Linear], object]) -> None:
    for module in model.modules():
        if isinstance(module, nn.Linear):
            fill(module)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _tokens(model: nn.Module) -> None:
    for name, parameter in model.named_parameters():
        if name.endswith(("mask_token", "region_tokens")):
            nn.init.trunc_normal_(parameter, std=_TOKEN_STD, a=-_TOKEN_STD, b=_TOKEN_STD)
