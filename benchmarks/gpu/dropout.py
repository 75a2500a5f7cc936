"""Models without chance: the same pass in two number types, or on two devices, can be compared."""

from collections.abc import Iterable
from typing import TypeVar

import torch
from avf_training.models.drop_path import DropPath
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

Model = TypeVar("Model", bound=nn.Module)
_RATES = ("dropout", "layer_drop", "final_layer_dropout")  # numbers that modules pass to functions of torch
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


def turn_off_dropout(model: Model) -> Model:
    """Return the model after all its dropout, layer dropout and stochastic depth have got the rate 0."""
    for module in model.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd | StochasticDepth):
            module.p = 0.0
        if isinstance(module, DropPath):
            module.rate = 0.0
        for name in _RATES:
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)
    return model


@torch.no_grad()
def freeze_batch_norms(model: nn.Module, inputs: Iterable[Tensor]) -> None:
    """Let batch norms divide by the root mean square that these inputs have at each of them, from now on.

    They subtract nothing and add 1: a deep network of random weights would otherwise be chaotic, and rounding its signal.
    """

    def measure(norm: nn.Module, args: tuple[Tensor, ...]) -> None:
        norm.get_buffer("running_mean").zero_()
        norm.get_buffer("running_var").copy_(args[0].square().mean([0, *range(2, args[0].dim())]))

    norms = [module for module in model.modules() if isinstance(module, _NORMS)]
    for norm in norms:
        nn.init.constant_(norm.weight, 0.3)
        nn.init.ones_(norm.bias)
    hooks = [norm.eval().register_forward_pre_hook(measure) for norm in norms]
    model(*inputs)
    for hook in hooks:
        hook.remove()
