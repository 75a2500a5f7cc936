"""The scale of gradients behind batch norm, by which their error in single precision is judged.

Where all clips of a batch are nearly alike, batch norm divides small differences by a small deviation: the terms that
its backward pass adds up are far larger than their sum, and so is the rounding that is left of them. An error of 2e-5
of the terms is then as good as single precision gives, whatever the sum is. Double precision has digits to spare and
stays strict.
"""

import torch
from torch import Tensor, nn

from avf_training.models.batch_norm import UnitBatchNorm

GRADIENT_SCALE = "scale.gradients"  # its name among the numbers of a model


class GradientScale:
    """Watches the batch norms of a model: the largest sum of magnitudes, over a channel, that a backward pass adds."""

    def __init__(self, model: nn.Module) -> None:
        self._largest = 1.0
        for module in model.modules():
            if isinstance(module, UnitBatchNorm):
                module.register_forward_hook(self._watch)

    def number(self) -> dict[str, Tensor]:
        """Return the scale by its name: at least 1."""
        return {GRADIENT_SCALE: torch.tensor(self._largest, dtype=torch.float64)}

    def _watch(self, module: UnitBatchNorm, inputs: tuple[Tensor, ...], out: Tensor) -> None:
        if not (module.training and out.requires_grad):
            return
        x_BCO = inputs[0].detach()
        variance, mean = torch.var_mean(x_BCO, (0, 2), unbiased=False, keepdim=True)
        inverse_deviation = (variance + module.eps).rsqrt()
        normalized_BCO = (x_BCO - mean) * inverse_deviation
        factor = (module.weight.detach()[:, None] * inverse_deviation).abs()

        def add_terms(grad_BCO: Tensor) -> None:
            # The gradient is factor * (grad - mean(grad) - normalized * mean(grad * normalized)).
            common = grad_BCO.abs().mean((0, 2), keepdim=True)
            along = normalized_BCO.abs() * (grad_BCO * normalized_BCO).abs().mean((0, 2), keepdim=True)
            terms_BCO = factor * (grad_BCO.abs() + common + along)
            self._largest = max(self._largest, float(terms_BCO.sum((0, 2)).max()))

        out.register_hook(add_terms)
