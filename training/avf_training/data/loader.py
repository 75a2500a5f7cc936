"""Data loader of one rank. Its state_dict (torch Stateful) can be loaded with any world size and worker count."""

import logging
import os
from collections import deque
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from avf_shards.errors import FaultError, UserError
from avf_shards.system.processors import count_usable_cores
from torch import Tensor
from torch.utils.data import DataLoader

from avf_training.data.batch import StreamBatch, concat_batches
from avf_training.data.delivery import DeliveryTracker, SourceDelivery
from avf_training.data.ordered_stream import OrderedStream
from avf_training.data.shared_buffers import buffers_needed
from avf_training.data.shared_memory import FOLDER, LEAST_BYTES, is_too_small
from avf_training.data.worker_process import any_number_of_workers, group_signals_blocked, init_worker

B = TypeVar("B", bound=StreamBatch)
log = logging.getLogger(__name__)


class StreamLoader(Generic[B]):
    """Iterates over the batches of one rank, from the position at which the stream stands.

    The state holds the order's digest, the epoch, the position, and the counts of delivered clips. Any world size and
    number of workers continues from it with the same clips, windows, crops and masks.
    """

    def __init__(
        self,
        stream: OrderedStream[B],
        *,
        workers: int = 0,
        device: torch.device | str = "cpu",
        quarantine: Path | None = None,
        delivery_log: Path | None = None,
        log_steps: int = 1000,
    ) -> None:
        """Check that the files can be written.

        Args:
            stream: the clips of this rank.
            workers: processes that read and decode; 0 works in this process.
            device: where batches arrive; the next batch is copied to a GPU while it computes on this one.
            quarantine: file for the unreadable clips, as JSON lines.
            delivery_log: file for the table of delivered clips, as JSON lines.
            log_steps: steps between two tables; the end of each epoch writes a table as well.
        """
        self.stream, self.workers, self.device, self.log_steps = stream, workers, torch.device(device), log_steps
        self.delivery = DeliveryTracker(
            stream,
            quarantine=quarantine,
            delivery_log=delivery_log if stream.rank == 0 else None,  # the table is equal on every rank
        )
        self._position = 0

    def __iter__(self) -> Iterator[B]:
        """Yield batches from the current position on. Raises FaultError when a source has too many unreadable clips."""
        self.stream.start = self._position
        self.delivery.start(self._position)
        step, size = self.stream.config.batch, len(self.stream.order)
        for batch in self._batches_on_device():
            self.delivery.record_batch(batch)
            before, self._position = self._position, self._position + step
            epoch_ended = before // size != self._position // size
            if epoch_ended:
                self.delivery.check_order(self._position, step, self.stream.world, self.stream.rank)
            if epoch_ended or self._position // step % self.log_steps == 0:
                self.delivery.log_table(self._position)
            yield batch

    def _batches_on_device(self) -> Iterator[B]:
        """Yield batches on the device, in order."""
        if self.device.type != "cuda":
            for parts in self._steps():
                # Copied: a worker fills the memory of its parts again.
                yield concat_batches([part.to(self.device) for part in parts], self.workers > 0)
            return
        copy_stream = torch.cuda.Stream(self.device)
        pending: tuple[B, torch.cuda.Event] | None = None
        # One batch behind: while the caller computes on a batch, the next one is copied on a stream of its own.
        for parts in self._steps():
            with torch.cuda.stream(copy_stream):
                coming = concat_batches([part.to(self.device) for part in parts]), copy_stream.record_event()
            if pending is not None:
                yield _hand_over(*pending)
            pending = coming
        if pending is not None:
            yield _hand_over(*pending)

    def _steps(self) -> Iterator[list[B]]:
        """Yield the parts of each step."""
        if self.workers and is_too_small():
            log.warning(
                "%s has %d MB or less, too little for a worker: %ss are decoded in this process, more slowly and "
                "with the same result; give the container more shared memory (docker run --shm-size 8g)",
                FOLDER,
                LEAST_BYTES / 2**20,
                self.stream.noun,
            )
            self.workers = 0
        per_step, workers = self.stream.parts_per_step, self.workers
        # A step ahead in all, but at least two parts of each worker, so that none waits while its part is taken.
        prefetch = max(2, -(-per_step // workers)) if workers else None
        self.stream.buffers = buffers_needed(prefetch, per_step, workers) if prefetch else 0
        world, rank, position = self.stream.world, self.stream.rank, self._position
        cores = count_usable_cores()
        log.info("rank %d of %d: from position %d on with %d workers; cores: %d", rank, world, position, workers, cores)
        with any_number_of_workers(), group_signals_blocked():
            loader = DataLoader(
                self.stream,
                batch_size=None,
                num_workers=workers,
                prefetch_factor=prefetch,
                pin_memory=self.device.type == "cuda",
                worker_init_fn=partial(init_worker, os.getpid()),
            )
            parts = iter(loader)
        # torch unmaps shared memory when nobody holds a tensor of it, and maps it anew for the next part. Tensors of
        # all buffers are held so that each is mapped once. Pinned parts are copies already, which hold no buffer.
        held = 0 if self.device.type == "cuda" else workers * self.stream.buffers
        mapped: deque[Tensor] = deque(maxlen=held)
        try:
            while len(step := list(islice(parts, per_step))) == per_step:
                mapped.extend(part.buffer for part in step)
                yield step
        except (UserError, FaultError) as error:
            raise _without_worker_traceback(error) from None

    def delivered(self) -> list[SourceDelivery]:
        """Return what the stream has delivered to all ranks so far, per source."""
        return self.delivery.per_source(self._position)

    def seek(self, position: int) -> None:
        """Move the stream to a position, before the first batch is taken."""
        self._position = position

    def state_dict(self) -> dict[str, Any]:
        """Return the position from which the stream continues, and what it has delivered."""
        epoch, position = divmod(self._position, len(self.stream.order))
        state = {"digest": self.stream.order.digest, "epoch": epoch, "position": position}
        return state | self.delivery.state_dict(self._position)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state of any world. Raises UserError for a state of other shards, mix or seed."""
        order = self.stream.order
        if state["digest"] != order.digest:
            raise UserError(
                f"the checkpoint is of another order of {self.stream.noun}s ({state['digest'][:12]}, not "
                f"{order.digest[:12]}): to go on, shards, mix and seed must be the same. If they are, an earlier "
                "version began this run, where `repeats` above 1 had another order: finish it with that version, or "
                "take a new --out"
            )
        self._position = int(state["epoch"]) * len(order) + int(state["position"])
        self.delivery.load_state_dict(state)
        log.info("the stream continues at epoch %d, position %d", state["epoch"], state["position"])


def _hand_over(batch: B, copied: torch.cuda.Event) -> B:
    """Make the current CUDA stream wait for the copy of a batch, and keep the batch's memory until that stream is done.

    Without record_stream the allocator, which knows the copying stream alone, could reuse the memory too early.
    """
    compute_stream = torch.cuda.current_stream(batch.buffer.device)
    compute_stream.wait_event(copied)
    batch.record_stream(compute_stream)
    return batch


def _without_worker_traceback(error: UserError | FaultError) -> UserError | FaultError:
    """Return the error as the worker raised it: torch puts the worker's traceback before the message."""
    kind = type(error)
    return kind(str(error).rpartition(f"{kind.__module__}.{kind.__name__}: ")[2].strip())
