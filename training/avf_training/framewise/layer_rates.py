"""Discriminative learning rates and gradual unfreezing over the layers of a network, listed first to last.

Each as it should work and, by `protocol`, as the authors' scripts run both together: there the optimizer is made once,
of the layers that are open in the first epoch, and the others never learn.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from avf_shards.errors import UserError

HEAD_LAYERS = 5  # at the end of the list: embedding, batch norm, Tanh, classifier and regression train at full rate
OPEN_LAYERS_AT_FIRST = 7  # of gradual unfreezing


@dataclass(frozen=True, kw_only=True)
class LayerSize:
    """A layer of a network, as its list of children has it."""

    name: str  # class of the layer
    parameters: int  # trainable ones; 0 for an activation


def discriminative_rates(
    layers: Sequence[LayerSize], *, highest: float = 0.005, factor: float = 0.9, lowest: float = 5e-5
) -> dict[int, float]:
    """Return the learning rate of each layer that has parameters, by its index.

    The last five layers train at `highest`; from there towards the input each layer has `factor` of the next one's
    rate, but not less than `lowest`. The paper's factor is .9, the code's .85.
    """
    head = len(layers) - HEAD_LAYERS
    rates = {}
    rate = highest
    for index in range(len(layers) - 1, -1, -1):
        if index < head:
            rate = max(lowest, rate * factor)
        if layers[index].parameters:
            rates[index] = rate
    return dict(sorted(rates.items()))


def lowest_open_layer(layers: Sequence[LayerSize], epoch: int) -> int:
    """Return the index of the first layer that learns in an epoch of gradual unfreezing, counted from 0.

    The last seven layers are open at first, and one more each epoch; layers without parameters count too.
    """
    return max(0, len(layers) - OPEN_LAYERS_AT_FIRST - epoch)


def open_layers(layers: Sequence[LayerSize], epoch: int) -> tuple[int, ...]:
    """Return the indices of the layers with parameters that learn in an epoch of gradual unfreezing."""
    first = lowest_open_layer(layers, epoch)
    return tuple(index for index in range(first, len(layers)) if layers[index].parameters)


def optimizer_layers(
    layers: Sequence[LayerSize],
    *,
    rates: dict[int, float],
    gradual_unfreezing: bool,
    protocol: Literal["ours", "authors_code"] = "ours",
) -> dict[int, float]:
    """Return the layers that the optimizer holds for the whole run, with their rates.

    By `authors_code` with gradual unfreezing these are only the layers that are open in the first epoch: the others get
    gradients later and never a step. Raises UserError for rates of a layer that is not in the list.
    """
    unknown = [index for index in rates if not 0 <= index < len(layers)]
    if unknown:
        raise UserError(f"a rate for layer {unknown[0]}, but the network has layers 0 to {len(layers) - 1}")
    if protocol == "ours" or not gradual_unfreezing:
        return dict(rates)
    first_open = open_layers(layers, 0)
    return {index: rate for index, rate in rates.items() if index in first_open}
