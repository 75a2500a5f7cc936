"""Running statistics of batch norm that move once a step, by the mean over all its micro-batches and ranks.

Torch moves them at every micro-batch of a rank, so that they would depend on the number of processes. The moments that
normalize a micro-batch stay its own.
"""

from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


@dataclass(frozen=True, kw_only=True)
class _Norm:
    """A batch norm, and what it had before the step."""

    module: _BatchNorm
    mean: Tensor
    variance: Tensor
    steps: Tensor
    momentum: float | None


class StepStatistics:
    """The running statistics of a model during one step."""

    def __init__(self, model: nn.Module) -> None:
        """Let each batch norm in training mode average the moments of the micro-batches to come."""
        self._norms = []
        for module in model.modules():
            if not isinstance(module, _BatchNorm) or not module.training or not module.track_running_stats:
                continue
            mean, variance, steps = module.running_mean, module.running_var, module.num_batches_tracked
            assert mean is not None
            assert variance is not None
            assert steps is not None
            self._norms.append(
                _Norm(
                    module=module,
                    mean=mean.clone(),
                    variance=variance.clone(),
                    steps=steps.clone(),
                    momentum=module.momentum,
                )
            )
            module.momentum = None  # torch's name for the mean of all batches since `num_batches_tracked` was 0
            steps.zero_()

    @torch.no_grad()
    def finish(self, *, skipped: bool) -> None:
        """Move the statistics once, unless the step is skipped. Collective over all ranks."""
        if not self._norms:
            return
        moments = [moment for norm in self._norms for moment in (norm.module.running_mean, norm.module.running_var)]
        tensors = [moment for moment in moments if moment is not None]
        if not skipped and dist.is_initialized() and dist.get_world_size() > 1:
            packed = torch.cat(tensors)  # one collective a step for all layers
            dist.all_reduce(packed)
            packed /= dist.get_world_size()
            for tensor, part in zip(tensors, packed.split([len(tensor) for tensor in tensors]), strict=True):
                tensor.copy_(part)
        for norm, mean, variance in zip(self._norms, tensors[::2], tensors[1::2], strict=True):
            seen = norm.module.num_batches_tracked
            assert seen is not None
            weight = 0.0 if skipped or not seen else norm.momentum or 0.0
            mean.copy_(torch.lerp(norm.mean, mean, weight) if weight else norm.mean)
            variance.copy_(torch.lerp(norm.variance, variance, weight) if weight else norm.variance)
            seen.copy_(norm.steps + (1 if weight else 0))
            norm.module.momentum = norm.momentum
