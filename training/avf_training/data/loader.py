"""Batches for one rank, with a state that fits any other world (torch's Stateful protocol)."""

from collections import deque
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from avf_shards.errors import FaultError, UserError
from torch import Tensor
from torch.utils.data import DataLoader

from avf_training.data.batch import Batch, concat_batches
from avf_training.data.clip import SampledParams
from avf_training.data.delivery import DeliveryTracker, SourceDelivery
from avf_training.data.shared_buffers import buffers_needed
from avf_training.data.stream import ClipStream

D = TypeVar("D", bound=SampledParams)
B = TypeVar("B", bound=Batch)


class StreamLoader(Generic[D, B]):
    """Iterate for batches; `state_dict` says where the stream stands after the last batch given.

    The state is (digest, epoch, position) and the account: any world size and number of workers goes on from it with
    the same clips, windows, crops and masks. device: where batches arrive; a GPU fetches the next one while it works
    on this. quarantine, log: files that the account writes, as JSON lines; log_steps: how often, besides at the end of
    each epoch.
    """

    def __init__(
        self,
        stream: ClipStream[D, B],
        *,
        workers: int = 0,
        device: torch.device | str = "cpu",
        quarantine: Path | None = None,
        log: Path | None = None,
        log_steps: int = 1000,
    ) -> None:
        self.stream, self.workers, self.device, self.log_steps = stream, workers, torch.device(device), log_steps
        told = log if stream.rank == 0 else None  # the table is the same on every rank
        self.account = DeliveryTracker(stream.order, stream.config.max_fault_share, quarantine, told)
        self._next = 0

    def __iter__(self) -> Iterator[B]:
        """Batches from where the stream stands. Raises FaultError when a source has too many unreadable clips."""
        self.stream.start = self._next
        self.account.start(self._next)
        step, size = self.stream.config.batch, len(self.stream.order)
        for batch in self._arrived():
            self.account.deliver(batch)
            before, self._next = self._next, self._next + step
            epoch_ended = before // size != self._next // size
            if epoch_ended:
                self.account.check(self._next, step, self.stream.world, self.stream.rank)
            if epoch_ended or self._next // step % self.log_steps == 0:
                self.account.write(self._next)
            yield batch

    def _arrived(self) -> Iterator[B]:
        """Batches on the device, in order."""
        if self.device.type != "cuda":
            for parts in self._steps():
                yield concat_batches([part.to(self.device) for part in parts], self.workers > 0)
            return
        copying = torch.cuda.Stream(self.device)
        waiting: tuple[B, torch.cuda.Event] | None = None
        for parts in self._steps():
            with torch.cuda.stream(copying):
                coming = concat_batches([part.to(self.device) for part in parts]), copying.record_event()
            if waiting is not None:
                yield _handed_over(*waiting)
            waiting = coming
        if waiting is not None:
            yield _handed_over(*waiting)

    def _steps(self) -> Iterator[list[B]]:
        """The parts of each step."""
        per_step, workers = self.stream.parts, self.workers
        ahead = max(2, -(-per_step // workers)) if workers else None  # a step, or two parts each
        self.stream.slots = buffers_needed(ahead, per_step, workers) if ahead else 0
        loader = DataLoader(
            self.stream,
            batch_size=None,
            num_workers=workers,
            prefetch_factor=ahead,
            pin_memory=self.device.type == "cuda",
        )
        parts = iter(loader)
        # torch maps shared memory anew when nobody holds it. Pinned parts are copies, made before we get them.
        held = 0 if self.device.type == "cuda" else workers * self.stream.slots
        mapped: deque[Tensor] = deque(maxlen=held)
        try:
            while len(step := list(islice(parts, per_step))) == per_step:
                mapped.extend(part.planes_RTQW for part in step)
                yield step
        except (UserError, FaultError) as error:
            raise _as_said(error) from None

    def delivered(self) -> list[SourceDelivery]:
        """Per source, what the stream has given to all ranks so far."""
        return self.account.lines(self._next)

    def go_to(self, position: int) -> None:
        """Start anew at a position of the stream, with nothing delivered before."""
        self._next = position

    def state_dict(self) -> dict[str, Any]:
        """Where the stream goes on, and what it has delivered."""
        epoch, position = divmod(self._next, len(self.stream.order))
        where = {"digest": self.stream.order.digest, "epoch": epoch, "position": position}
        return where | self.account.state(self._next)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state of any world. Raises UserError for one of other shards, mix or seed."""
        order = self.stream.order
        if state["digest"] != order.digest:
            raise UserError(
                f"the state is of another stream ({state['digest'][:12]}, not {order.digest[:12]}): "
                "shards, mix and seed must be the same to go on"
            )
        self._next = int(state["epoch"]) * len(order) + int(state["position"])
        self.account.load(state)


def _handed_over(batch: B, copied: torch.cuda.Event) -> B:
    """The batch for the CUDA stream that computes: after its copy, and not freed before that stream is done with it."""
    computing = torch.cuda.current_stream(batch.planes_RTQW.device)
    computing.wait_event(copied)
    batch.keep_for(computing)
    return batch


def _as_said(error: UserError | FaultError) -> UserError | FaultError:
    """The error as the worker raised it: torch puts the worker's traceback before its text."""
    kind = type(error)
    return kind(str(error).rpartition(f"{kind.__module__}.{kind.__name__}: ")[2].strip())
