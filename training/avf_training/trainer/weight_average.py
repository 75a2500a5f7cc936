"""An exponential moving average of the weights, kept with the optimizer's state: checkpoints hold it, in any world."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

_AVERAGE = "average"  # beside AdamW's own moments in the state of each parameter


class AveragingAdamW(torch.optim.AdamW):
    """AdamW that also averages the weights after each step; a step that is skipped does not count."""

    def __init__(self, params: Any, *, average_decay: float, **options: Any) -> None:
        """Make the optimizer.

        Args:
            params: parameters or their groups.
            average_decay: share of the average that stays at each step, 0 to 1; lower in the first steps, where the
                average would else be of the first weights: (1 + step) / (10 + step) at most.
            options: of AdamW.
        """
        super().__init__(params, **options)
        self.average_decay = average_decay

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]  # torch overloads it
        """Take a step as AdamW does, then average."""
        loss: float | None = super().step(closure)
        # A scaler of gradients calls the fused optimizer for a step that it skips, too, and says so by this number.
        skipped = bool(getattr(self, "found_inf", None))
        stayed: float | None = None
        for parameter, state in self._states():
            if _AVERAGE not in state:  # also at a skipped step, for checkpoints hold an average of every parameter
                state[_AVERAGE] = parameter.detach().clone()
            if skipped:
                continue
            if stayed is None:  # alike for all; reading the step of each would wait for the GPU each time
                number = float(state["step"])
                stayed = min(self.average_decay, (1 + number) / (10 + number)) if number > 1 else 0.0
            state[_AVERAGE].lerp_(parameter, 1 - stayed)
        return loss

    @torch.no_grad()
    def take_average(self) -> None:
        """Replace the weights by their average; before the first step there is none, and they stay."""
        for parameter, state in self._states():
            if _AVERAGE in state:
                parameter.copy_(state[_AVERAGE])

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Replace the weights by their average for a while."""
        states = self._states()
        before = [parameter.detach().clone() for parameter, _ in states]
        self.take_average()
        try:
            yield
        finally:
            with torch.no_grad():
                for (parameter, _), weights in zip(states, before, strict=True):
                    parameter.copy_(weights)

    def _states(self) -> list[tuple[Tensor, dict[str, Any]]]:
        parameters = (parameter for group in self.param_groups for parameter in group["params"])
        return [(parameter, self.state[parameter]) for parameter in parameters if parameter in self.state]
