"""Initial weights of pre-training and fine-tuning, as in the authors' code."""

from collections.abc import Callable

from torch import nn

_TOKEN_STD = 0.02


def init_pretraining(model: nn.Module) -> None:
    """Fill linear maps Xavier-uniform with zero bias, and learnable tokens normal, cut at one deviation.

    All other parameters keep torch's defaults.
    """
    _fill_linears(model, lambda layer: nn.init.xavier_uniform_(layer.weight))
    _fill_tokens(model)


def init_finetuning(model: nn.Module) -> None:
    """Fill linear maps of encoders with a normal of deviation 0.02, those of the fusion Xavier-uniform.

    The head keeps torch's default.
    """
    for name, child in model.named_children():
        if name.startswith("encoder"):
            _fill_linears(child, lambda layer: nn.init.trunc_normal_(layer.weight, std=_TOKEN_STD))
        elif name == "fusion":
            _fill_linears(child, lambda layer: nn.init.xavier_uniform_(layer.weight))
    _fill_tokens(model)


def _fill_linears(model: nn.Module, fill: Callable[[nn.Linear], object]) -> None:
    for module in model.modules():
        if isinstance(module, nn.Linear):
            fill(module)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _fill_tokens(model: nn.Module) -> None:
    for name, parameter in model.named_parameters():
        if name.endswith(("mask_token", "region_tokens")):
            nn.init.trunc_normal_(parameter, std=_TOKEN_STD, a=-_TOKEN_STD, b=_TOKEN_STD)
