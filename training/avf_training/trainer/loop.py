"""One optimiser step: micro-batches, scaled gradients, clipping, the schedule. The same for every stage.

A stage gives `forward`: a batch to its loss and the loss's parts. Non-finite steps are skipped and counted.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn, optim
from torch.distributed.tensor import DTensor

from avf_training.data.batch import Batch
from avf_training.distributed.collectives import accumulate_gradients, all_reduce_mean
from avf_training.trainer.optimizer import Schedule

B = TypeVar("B", bound=Batch)
Forward = Callable[[nn.Module, B], tuple[Tensor, dict[str, Tensor]]]


@dataclass(frozen=True, kw_only=True)
class StepResult:
    """What one step was. parts: of the loss, with `loss` itself, means over micro-batches and ranks."""

    parts: dict[str, float]
    lr: float
    grad_norm: float
    skipped: bool

    def values(self) -> dict[str, float | bool]:
        """Everything by name."""
        return {**self.parts, "lr": self.lr, "grad_norm": self.grad_norm, "skipped": self.skipped}


class TrainStep(Generic[B]):
    """Model, optimiser, scaler and schedule of a stage."""

    def __init__(
        self,
        model: nn.Module,
        optimiser: optim.Optimizer,
        schedule: Schedule,
        forward: Forward[B],
        *,
        clip_norm: float | None,
        scaler: torch.amp.GradScaler,
    ) -> None:
        self.model, self.optimiser, self.schedule, self.forward = model, optimiser, schedule, forward
        self.clip_norm, self.scaler = clip_norm, scaler

    def step(self, number: int, micro_batches: Sequence[B]) -> StepResult:
        """Step `number` over all its micro-batches."""
        lr = self.schedule.lr(number)
        for group in self.optimiser.param_groups:
            group["lr"] = lr * group["lr_scale"]
        self.optimiser.zero_grad(set_to_none=True)
        sums: dict[str, Tensor] = {}
        for n, batch in enumerate(micro_batches):
            with accumulate_gradients(self.model, n == len(micro_batches) - 1):
                loss, parts = self.forward(self.model, batch)
                self.scaler.scale(loss / len(micro_batches)).backward()
            for name, part in {"loss": loss, **parts}.items():
                sums[name] = sums.get(name, torch.zeros((), device=loss.device)) + part.detach() / len(micro_batches)
        self.scaler.unscale_(self.optimiser)
        parameters = [p for group in self.optimiser.param_groups for p in group["params"]]
        norm = nn.utils.clip_grad_norm_(parameters, self.clip_norm or float("inf"))
        norm = norm.full_tensor() if isinstance(norm, DTensor) else norm
        told = all_reduce_mean(torch.stack([*sums.values(), norm.to(loss.device)]).float()).tolist()
        skipped = not torch.tensor(told).isfinite().all()
        if not skipped or self.scaler.is_enabled():
            self.scaler.step(self.optimiser)  # with a scale, it skips what is not finite by itself
        self.scaler.update()
        return StepResult(
            parts=dict(zip(sums, told[:-1], strict=True)), lr=lr, grad_norm=told[-1], skipped=bool(skipped)
        )
