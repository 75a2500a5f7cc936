"""The layers of SUN's networks of single pictures, first to last: their learning rates, and which of them learn when.

A layer is what the authors' code lists as one: a stage of EfficientNet, a block of ViT or of what is behind HRNet, and
each part of the head, also those without a parameter, which count in gradual unfreezing.
"""

from dataclasses import dataclass
from typing import Literal

from torch import nn

from avf_training.framewise.layer_rates import (
    LayerSize,
    discriminative_rates,
    open_layers,
    optimizer_layers,
)
from avf_training.framewise.models.pose_backbone import PoseBackbone
from avf_training.framewise.models.static_nets import StaticNet
from avf_training.framewise.protocol import ProtocolOptions


@dataclass(frozen=True, kw_only=True)
class StaticLayer:
    """A layer with its parameters."""

    size: LayerSize
    parameters: tuple[str, ...]  # names in the network


def list_static_layers(net: StaticNet) -> tuple[StaticLayer, ...]:
    """Return the layers of a network, without the pose net of HRNet-W32, which never learns."""
    modules = {module: name for name, module in net.named_modules(remove_duplicate=False)}
    listed: list[nn.Module] = [*_backbone_layers(net), net.dropout, net.embeddings_layer, net.batchnorm, nn.Tanh()]
    listed += [net.classifier or nn.Identity(), net.regression]
    return tuple(
        StaticLayer(
            size=LayerSize(name=type(module).__name__, parameters=sum(each.numel() for each in module.parameters())),
            parameters=tuple(f"{modules[module]}.{name}" for name, _ in module.named_parameters()),
        )
        for module in listed
    )


def static_rates(
    net: StaticNet, options: ProtocolOptions, *, highest: float = 0.005, gradual_unfreezing: bool = True
) -> dict[str, float]:
    """Return the learning rate of each parameter that the optimizer holds, by its name.

    Ours are all layers from the first step on, and of ViT the class token and the positions, which the authors' code
    never freezes and never trains, at the rate of the first layer. By the authors' code with gradual unfreezing only
    the layers that are open in the first epoch are held, and the backbone never learns.
    """
    layers = list_static_layers(net)
    sizes = [layer.size for layer in layers]
    rates = discriminative_rates(sizes, highest=highest, factor=options.layer_rate_factor)
    as_authors = options.unfreezing_with_layer_rates == "open_at_first"
    protocol: Literal["ours", "authors_code"] = "authors_code" if as_authors else "ours"
    held = optimizer_layers(sizes, rates=rates, gradual_unfreezing=gradual_unfreezing, protocol=protocol)
    by_name = {name: rate for index, rate in held.items() for name in layers[index].parameters}
    if not as_authors:
        by_name |= dict.fromkeys(_outside(net, layers), min(rates.values()))
    return by_name


def freeze_for_epoch(net: StaticNet, epoch: int, *, gradual_unfreezing: bool = True) -> None:
    """Set which parameters get gradients in an epoch, counted from 0; what lies in no layer follows the first one."""
    layers = list_static_layers(net)
    opened = set(range(len(layers)))
    if gradual_unfreezing:
        opened = set(open_layers([layer.size for layer in layers], epoch))
    parameters = dict(net.named_parameters())
    for index, layer in enumerate(layers):
        for name in layer.parameters:
            parameters[name].requires_grad_(index in opened)
    for name in _outside(net, layers):
        parameters[name].requires_grad_(0 in opened)


def _backbone_layers(net: StaticNet) -> list[nn.Module]:
    backbone = net.model
    if isinstance(backbone, PoseBackbone):
        return [*backbone.blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    if net.backbone == "vit_b_16":
        encoder = backbone.get_submodule("encoder")
        blocks = list(encoder.get_submodule("layers").children())
        ends = [encoder.get_submodule(name) for name in ("dropout",)]
        return [
            backbone.get_submodule("conv_proj"),
            *ends,
            *blocks,
            encoder.get_submodule("ln"),
            backbone.get_submodule("heads"),
        ]
    return [
        *backbone.get_submodule("features").children(),
        backbone.get_submodule("avgpool"),
        backbone.get_submodule("classifier"),
    ]


def _outside(net: StaticNet, layers: tuple[StaticLayer, ...]) -> list[str]:
    """Return the parameters that lie in no layer: ViT's class token and positions; the pose net is frozen."""
    inside = {name for layer in layers for name in layer.parameters}
    names = [name for name, _ in net.named_parameters() if name not in inside]
    return [name for name in names if not name.startswith(("model.pose.", "model.heatmaps."))]
