"""Batch norm of the refinement layer of IAV-CL, with the same numbers on every rank and in every world.

The layer is one copy for all DiER units. Groups of `group_clips` clips that follow each other in the stream are
normalized together, so the result depends neither on the number of ranks nor on the size of a micro-batch. Within an
optimizer step the moments of all groups are summed; at its end `update_running_statistics` averages them over all
ranks and moves the running statistics once. So all ranks score and save the same model.

Shapes: B clips, C width, O tokens, U units, G groups, g clips of a group.
"""

from collections.abc import Callable
from typing import Self

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from avf_training.models.precision import at_least_fp32

_WITHOUT_FLOAT64 = ("mps",)  # types of devices


class UnitBatchNorm(nn.BatchNorm1d):
    """Batch norm of a layer that all units share: one weight and bias for all of them.

    per_unit: the running statistics are (U, C), a row for each unit; otherwise (C,), one pair for all units, as in the
    authors' code. The units give the layer different distributions, so that with one pair evaluation normalizes by
    statistics that fit no unit (ADR 20).
    """

    sum_mean_UC: Tensor  # buffers: sums of the moments of the groups of this step, in double precision but for mps
    sum_var_UC: Tensor
    groups_U1: Tensor  # how many groups are in the sums

    def __init__(self, width: int, units: int, per_unit: bool) -> None:
        super().__init__(width)
        self.units, self.per_unit = units, per_unit
        self.group_clips: int | None = None  # clips that are normalized together; None: all clips of a batch
        self.deferred = False  # running statistics move at the end of a step, by `update_running_statistics`
        if per_unit:
            self.running_mean, self.running_var = torch.zeros(units, width), torch.ones(units, width)
        for name, columns in (("sum_mean_UC", width), ("sum_var_UC", width), ("groups_U1", 1)):
            self.register_buffer(name, torch.zeros(units, columns, dtype=torch.float64), persistent=False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Convert or move the tensors, as every module does; on a device without float64 the sums are float32."""
        if fn(torch.empty(0)).device.type in _WITHOUT_FLOAT64:
            for name in ("sum_mean_UC", "sum_var_UC", "groups_U1"):
                setattr(self, name, getattr(self, name).float())
        return super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # torch does not type it

    def forward(self, x_BCO: Tensor, unit: int = 0) -> Tensor:
        """Return (B, C, O), normalized by the moments of each group, or in evaluation by the statistics of `unit`.

        Raises ValueError where the groups do not fill the batch.
        """
        if not self.training:
            mean_C, var_C = self._running(unit)
            return F.batch_norm(x_BCO, mean_C, var_C, self.weight, self.bias, False, 0.0, self.eps)
        clips = self.group_clips or len(x_BCO)
        if len(x_BCO) % clips:
            raise ValueError(f"batch norm: {len(x_BCO)} clips are no multiple of the {clips} of a group")
        groups = len(x_BCO) // clips
        # Each group gets channels of its own, so that one call of batch norm serves all groups.
        x_gDO = x_BCO.unflatten(0, (groups, clips)).transpose(0, 1).flatten(1, 2)
        one_group = groups == 1  # then nothing is copied
        weight_D, bias_D = (p if one_group else p.repeat(groups) for p in (self.weight, self.bias))
        y_gDO = F.batch_norm(x_gDO, None, None, weight_D, bias_D, True, 0.0, self.eps)
        self._sum_moments(x_gDO.detach(), groups, unit)
        if not self.deferred:
            self.update_running(unit)
        return y_gDO.unflatten(1, (groups, -1)).transpose(0, 1).flatten(0, 1)

    def update_running(self, unit: int) -> None:
        """Move the running statistics of a unit to the mean moments of the groups in the sums, and clear the sums."""
        mean_C, var_C = self._running(unit)
        momentum = self.momentum or 0.0
        mean_C.lerp_((self.sum_mean_UC[unit] / self.groups_U1[unit]).to(mean_C.dtype), momentum)
        var_C.lerp_((self.sum_var_UC[unit] / self.groups_U1[unit]).to(var_C.dtype), momentum)
        self.clear_sums(unit)

    def clear_sums(self, unit: int) -> None:
        """Forget the moments of a unit that are in the sums."""
        for sums in (self.sum_mean_UC, self.sum_var_UC, self.groups_U1):
            sums[unit].zero_()

    def _running(self, unit: int) -> tuple[Tensor, Tensor]:
        """Return mean and variance (C,) of a unit, as views that can be changed."""
        assert self.running_mean is not None
        assert self.running_var is not None
        return (
            (self.running_mean[unit], self.running_var[unit])
            if self.per_unit
            else (self.running_mean, self.running_var)
        )

    def _sum_moments(self, x_gDO: Tensor, groups: int, unit: int) -> None:
        var_D, mean_D = torch.var_mean(at_least_fp32(x_gDO), (0, 2))  # unbiased, as the running variance of torch
        self.sum_mean_UC[unit] += mean_D.to(self.sum_mean_UC.dtype).view(groups, -1).sum(0)
        self.sum_var_UC[unit] += var_D.to(self.sum_var_UC.dtype).view(groups, -1).sum(0)
        self.groups_U1[unit] += groups


def defer_running_statistics(model: nn.Module, group_clips: int) -> None:
    """Normalize groups of `group_clips` clips, and leave the running statistics to `update_running_statistics`."""
    for norm in _batch_norms(model):
        norm.deferred, norm.group_clips = True, group_clips


def update_running_statistics(model: nn.Module, skipped: bool) -> None:
    """Move the running statistics of a model by the moments of the step that ends. Collective over all ranks.

    skipped: the step changed no weight, because its loss was not finite; its moments are forgotten.
    """
    norms = [norm for norm in _batch_norms(model) if norm.deferred]
    sums = [tensor for norm in norms for tensor in (norm.sum_mean_UC, norm.sum_var_UC, norm.groups_U1)]
    if sums and not skipped and dist.is_initialized() and dist.get_world_size() > 1:
        packed = torch.cat([tensor.flatten() for tensor in sums])  # one collective a step for all layers
        dist.all_reduce(packed)
        for tensor, part in zip(sums, packed.split([tensor.numel() for tensor in sums]), strict=True):
            tensor.copy_(part.view_as(tensor))
    for norm in norms:
        for unit in range(norm.units):
            if skipped:
                norm.clear_sums(unit)
            else:
                norm.update_running(unit)


def _batch_norms(model: nn.Module) -> list[UnitBatchNorm]:
    return [module for module in model.modules() if isinstance(module, UnitBatchNorm)]
