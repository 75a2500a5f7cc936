"""A batch in equal parts that go through a model one after the other, each with dropout and batch norm of its own.

So any number of processes that share the parts computes the same numbers. The running statistics of batch norm after
the batch are the means of those after each part.
"""

from collections.abc import Callable, Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn

_SEED_BITS = 40  # below the number of the part


def seeds_of_parts(seed: int, parts: range) -> list[int]:
    """Return the seed of each part of a step; that of part 0 is the step's own."""
    return [seed + (part << _SEED_BITS) for part in parts]


def run_in_parts(
    model: nn.Module, seeds: Sequence[int], predict: Callable[[int], Tensor], *, ranks: int | None = None
) -> Tensor:
    """Return the outputs of all parts of this process, joined. Collective where several processes share the batch.

    Args:
        model: whose batch norms in training mode move their statistics.
        seeds: of what is random in each part.
        predict: outputs of a part by its number.
        ranks: processes that share the batch; None: those of the group, or one.
    """
    if ranks is None:
        ranks = dist.get_world_size() if dist.is_initialized() else 1
    norms = [each for each in model.modules() if isinstance(each, nn.BatchNorm1d) and each.training]
    if len(seeds) == 1 and ranks == 1:
        torch.manual_seed(seeds[0])
        return predict(0)
    before = [_statistics(norm).clone() for norm in norms]
    steps = [None if norm.num_batches_tracked is None else norm.num_batches_tracked.clone() for norm in norms]
    sums = [torch.zeros_like(each, dtype=torch.float64) for each in before]
    outputs = []
    for part, seed in enumerate(seeds):
        for norm, statistics in zip(norms, before, strict=True):
            _set_statistics(norm, statistics)
        torch.manual_seed(seed)
        outputs.append(predict(part))
        for norm, each in zip(norms, sums, strict=True):
            each += _statistics(norm)
    if ranks > 1 and sums:
        packed = torch.cat([each.flatten() for each in sums])
        dist.all_reduce(packed)
        sizes = [each.numel() for each in sums]
        sums = [part.view_as(each) for part, each in zip(packed.split(sizes), sums, strict=True)]
    for norm, each, count in zip(norms, sums, steps, strict=True):
        _set_statistics(norm, (each / (len(seeds) * ranks)).to(before[0].dtype))
        if count is not None:
            norm.num_batches_tracked = count + 1
    return torch.cat(outputs)


def _statistics(norm: nn.BatchNorm1d) -> Tensor:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    return torch.stack((norm.running_mean, norm.running_var))


def _set_statistics(norm: nn.BatchNorm1d, statistics_2C: Tensor) -> None:
    # New tensors: the backward pass of an earlier part still holds the old ones.
    norm.running_mean, norm.running_var = statistics_2C[0].clone(), statistics_2C[1].clone()
