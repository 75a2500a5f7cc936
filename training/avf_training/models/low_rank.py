"""Low-rank adapters (LoRA, Hu et al. 2022) on the linear layers of attention and feed-forward networks.

Shapes: O outputs and I inputs of a linear layer, R rank.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch
from avf_shards.errors import UserError
from torch import Tensor, nn
from torch.nn.utils import parametrize

from avf_training.models.attention import CrossAttention, FeedForward, SelfAttention
from avf_training.models.low_rank_config import LoraConfig

_ADAPTED = (SelfAttention, CrossAttention, FeedForward)
_PRETRAINED = ("encoder_", "fusion.")  # parts that a start has learned; the head and the layer weights come new
_PARAMETRIZED = ".parametrizations.weight."  # torch's name between a layer and its weight or its adapter
_ORIGINAL = f"{_PARAMETRIZED}original"


@dataclass(frozen=True, kw_only=True)
class AdapterBase:
    """The model that saved adapters belong to, in their config.json."""

    folder: str  # of the saved model
    sha256: str  # of its weights
    scale: float  # factor on the product of an adapter's matrices
    tensors: tuple[str, ...]  # names that are read from it


class LowRankUpdate(nn.Module):
    """The weight of a linear layer plus a product of two small matrices, which is 0 before the first step."""

    def __init__(self, weight_OI: Tensor, config: LoraConfig) -> None:
        super().__init__()
        outputs, inputs = weight_OI.shape
        self.scale = config.scale
        self.down_RI = nn.Parameter(weight_OI.new_empty(config.rank, inputs))
        self.up_OR = nn.Parameter(weight_OI.new_zeros(outputs, config.rank))
        nn.init.kaiming_uniform_(self.down_RI, a=math.sqrt(5))  # as the weight of a new linear layer

    def forward(self, weight_OI: Tensor) -> Tensor:
        """Return the adapted weight, in its own precision: the merged weight must be the one that was trained with."""
        with torch.autocast(weight_OI.device.type, enabled=False):
            return adapted_weight(weight_OI, self.down_RI, self.up_OR, self.scale)


def adapted_weight(weight_OI: Tensor, down_RI: Tensor, up_OR: Tensor, scale: float) -> Tensor:
    """Return W + scale * B A."""
    return torch.addmm(weight_OI, up_OR, down_RI, alpha=scale)


def add_adapters(model: nn.Module, config: LoraConfig, new: Collection[str]) -> None:
    """Freeze a model's encoders and fusion and put an adapter on each of their linear layers that could learn.

    What the start did not have learns whole, and so do the head and the layer weights. Raises UserError for a rank that
    a layer does not have, and where no layer is left to adapt.

    Args:
        new: names of parameters that the start did not have.
    """
    layers = {
        f"{path}.{name}": layer
        for path, module in model.named_modules()
        if isinstance(module, _ADAPTED) and path.startswith(_PRETRAINED)
        for name, layer in module.named_children()
        # Layers that were frozen before, or that no output depends on, need no adapter.
        if isinstance(layer, nn.Linear) and layer.weight.requires_grad and f"{path}.{name}.weight" not in new
    }
    if not layers:
        raise UserError("lora.rank: no layer is left to adapt; take fewer frozen_layers, or rank 0")
    smallest = min(min(layer.weight.shape) for layer in layers.values())
    if config.rank > smallest:
        raise UserError(f"lora.rank {config.rank}: the smallest layer has {smallest} inputs; take at most that")
    for name, parameter in model.named_parameters():
        if name.startswith(_PRETRAINED) and name not in new:
            parameter.requires_grad_(False)
    for layer in layers.values():
        parametrize.register_parametrization(layer, "weight", LowRankUpdate(layer.weight.detach(), config))


def frozen_tensors(model: nn.Module, new: Collection[str]) -> tuple[str, ...]:
    """Return the names of the tensors that a model with adapters has from its start and that learn nothing."""
    names = (name for name, parameter in model.named_parameters() if not parameter.requires_grad)
    plain = (name.replace(_ORIGINAL, ".weight") for name in names)
    return tuple(name for name in plain if name not in new)


def drop_base(tensors: Mapping[str, Tensor], base: AdapterBase) -> dict[str, Tensor]:
    """Return the tensors of a model with adapters without those of its base."""
    return {name: tensor for name, tensor in tensors.items() if name.replace(_ORIGINAL, ".weight") not in base.tensors}


def add_base(tensors: Mapping[str, Tensor], base_tensors: Mapping[str, Tensor], base: AdapterBase) -> dict[str, Tensor]:
    """Return the tensors of the whole model from those of `drop_base` and those of its base."""
    whole = dict(tensors)
    for name in base.tensors:
        layer = name.removesuffix(".weight")
        adapted = f"{layer}{_PARAMETRIZED}0.up_OR" in tensors
        whole[f"{layer}{_ORIGINAL}" if adapted else name] = base_tensors[name]
    return merge_adapters(whole, base.scale)


def merge_adapters(tensors: Mapping[str, Tensor], scale: float) -> dict[str, Tensor]:
    """Return the tensors of the model without adapters that computes the same: each product is added to its weight."""
    merged = {name: tensor for name, tensor in tensors.items() if _PARAMETRIZED not in name}
    for name, weight_OI in tensors.items():
        if name.endswith(_ORIGINAL):
            layer = name.removesuffix(_ORIGINAL)
            down_RI, up_OR = (tensors[f"{layer}{_PARAMETRIZED}0.{part}"] for part in ("down_RI", "up_OR"))
            merged[f"{layer}.weight"] = adapted_weight(weight_OI, down_RI, up_OR, scale)
    return merged
