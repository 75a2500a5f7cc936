"""Batch norm of the refinement layer: groups of clips are normalized alike in any batch."""

import pytest
import torch
from avf_training.models.batch_norm import UnitBatchNorm, defer_running_statistics, update_running_statistics
from torch import nn


def make_norm(per_unit: bool = True) -> UnitBatchNorm:
    norm = UnitBatchNorm(3, 2, per_unit).train()
    nn.init.uniform_(norm.weight, 0.5, 2)
    nn.init.uniform_(norm.bias)
    return norm


def clips(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 3, 5, generator=torch.Generator().manual_seed(seed)) * 3 + 1


def test_a_group_of_the_whole_batch_is_torchs_batch_norm() -> None:
    ours, theirs = make_norm(per_unit=False), nn.BatchNorm1d(3).train()
    theirs.load_state_dict(ours.state_dict())
    for step in range(3):
        x_BCO = clips(4, step)
        assert torch.allclose(ours(x_BCO, step % 2), theirs(x_BCO), atol=1e-6)
    assert torch.allclose(ours.running_mean, theirs.running_mean, atol=1e-6)
    assert torch.allclose(ours.running_var, theirs.running_var, atol=1e-6)
    assert torch.allclose(ours.eval()(clips(2)), theirs.eval()(clips(2)), atol=1e-6)


@pytest.mark.parametrize("per_unit", [True, False])
def test_micro_batches_of_any_size_give_the_same_output_and_statistics(per_unit: bool) -> None:
    x_BCO, results = clips(12), []
    for micro_batch in (12, 6, 2):
        torch.manual_seed(0)
        norm = make_norm(per_unit)
        defer_running_statistics(norm, 2)
        y = [norm(part, unit) for unit in (0, 1) for part in (x_BCO * (unit + 1)).split(micro_batch)]
        update_running_statistics(norm, skipped=False)
        results.append((torch.cat(y), norm.running_mean.clone(), norm.running_var.clone()))
    for other in results[1:]:
        for first, second in zip(results[0], other, strict=True):
            assert torch.allclose(first, second, atol=1e-6)


def test_gradients_do_not_depend_on_the_micro_batch() -> None:
    gradients = []
    for micro_batch in (8, 4):
        torch.manual_seed(0)
        norm, x_BCO = make_norm(), clips(8).requires_grad_()
        defer_running_statistics(norm, 4)
        for part in x_BCO.split(micro_batch):
            (norm(part) ** 3).sum().backward()
        assert x_BCO.grad is not None
        gradients.append((x_BCO.grad, norm.weight.grad, norm.bias.grad))
    for first, second in zip(*gradients, strict=True):
        assert torch.allclose(first, second, rtol=1e-4, atol=1e-4)


def test_a_skipped_step_leaves_the_statistics() -> None:
    norm = make_norm()
    defer_running_statistics(norm, 2)
    norm(clips(2) * float("nan"))
    update_running_statistics(norm, skipped=True)
    norm(clips(2), 0)
    norm(clips(2), 1)
    update_running_statistics(norm, skipped=False)
    assert norm.running_mean.isfinite().all()


def test_groups_that_do_not_fill_a_batch_are_refused() -> None:
    norm = make_norm()
    defer_running_statistics(norm, 4)
    with pytest.raises(ValueError, match="6 clips are no multiple of the 4 of a group"):
        norm(clips(6))
