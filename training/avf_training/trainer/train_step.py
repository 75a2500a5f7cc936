"""One optimizer step, the same for every stage: micro-batches, scaled gradients, clipping and the learning rate.

A stage supplies `forward`, which turns a batch into its loss and the parts of the loss. A step whose loss or gradient
is not finite is skipped and counted.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn, optim
from torch.distributed.tensor import DTensor

from avf_training.distributed.collectives import all_reduce_mean, sync_gradients
from avf_training.models.batch_norm import update_running_statistics
from avf_training.trainer.optimizer import Schedule

B = TypeVar("B")
Forward = Callable[[nn.Module, B], tuple[Tensor, dict[str, Tensor]]]


@dataclass(frozen=True, kw_only=True)
class StepResult:
    """Outcome of one optimizer step."""

    parts: dict[str, float]  # `loss` and its parts, means over micro-batches and ranks
    lr: float  # learning rate, before the factors of parameter groups
    grad_norm: float  # before clipping
    skipped: bool  # the loss or the gradient was not finite, so no weight changed

    def values(self) -> dict[str, float | bool]:
        """Return all values by their names in metrics.jsonl."""
        return {**self.parts, "lr": self.lr, "grad_norm": self.grad_norm, "skipped": self.skipped}


class TrainStep(Generic[B]):
    """Model, optimizer, gradient scaler and learning-rate schedule of a stage."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: optim.Optimizer,
        schedule: Schedule,
        forward: Forward[B],
        *,
        clip_norm: float | None,
        scaler: torch.amp.GradScaler,
    ) -> None:
        self.model, self.optimizer, self.schedule, self.forward = model, optimizer, schedule, forward
        self.clip_norm, self.scaler = clip_norm, scaler

    def average_gradients(self) -> None:
        """Average gradients over ranks, where the model's wrapper does not do so in its backward pass. Collective."""

    def run(self, step: int, micro_batches: Sequence[B]) -> StepResult:
        """Run step number `step` over all its micro-batches, and return its outcome. Collective over all ranks."""
        lr = self.schedule.lr(step)
        for group in self.optimizer.param_groups:
            group["lr"] = lr * group["lr_scale"]
        self.optimizer.zero_grad(set_to_none=True)
        sums: dict[str, Tensor] = {}
        for index, batch in enumerate(micro_batches):
            # Gradients are averaged over ranks once, in the backward pass of the last micro-batch.
            with sync_gradients(self.model, index == len(micro_batches) - 1):
                loss, parts = self.forward(self.model, batch)
                # Divided here, so that the accumulated gradient is the mean over micro-batches, as of one large batch.
                self.scaler.scale(loss / len(micro_batches)).backward()
            for name, part in {"loss": loss, **parts}.items():
                sums[name] = sums.get(name, torch.zeros((), device=loss.device)) + part.detach() / len(micro_batches)
        self.average_gradients()
        self.scaler.unscale_(self.optimizer)  # before clipping: the norm must be of the true gradients
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        norm = nn.utils.clip_grad_norm_(parameters, self.clip_norm or float("inf"))
        # With FSDP2 each rank holds the norm of its shards; full_tensor combines them (collective).
        norm = norm.full_tensor() if isinstance(norm, DTensor) else norm
        means = all_reduce_mean(torch.stack([*sums.values(), norm.to(loss.device)]).float()).tolist()
        # The means over ranks are finite only if every rank's are, so all ranks decide alike.
        skipped = not torch.tensor(means).isfinite().all()
        if not skipped or self.scaler.is_enabled():
            self.scaler.step(self.optimizer)  # with a scale, the scaler itself skips a step that is not finite
        self.scaler.update()
        update_running_statistics(self.model, bool(skipped))
        return StepResult(
            parts=dict(zip(sums, means[:-1], strict=True)), lr=lr, grad_norm=means[-1], skipped=bool(skipped)
        )
