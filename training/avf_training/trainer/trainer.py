"""The training loop that every stage shares: steps, checkpoints, signals and progress reports."""

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic, Protocol, TypeVar

from avf_shards.errors import FaultError, UserError
from avf_shards.text import count_noun
from torch import nn

from avf_training.distributed.collectives import all_reduce_any, decide_on_rank_0
from avf_training.distributed.context import DistributedContext
from avf_training.distributed.environment import log_of_rank_0
from avf_training.trainer.checkpoint import Checkpoints
from avf_training.trainer.progress import ProgressReporter
from avf_training.trainer.train_step import TrainStep

_log = logging.getLogger(__name__)
_MAX_SKIPPED_SHARE = 0.25  # of the steps of a call; fp16 skips some while its scale is found
B = TypeVar("B")
M = TypeVar("M", covariant=True)


class MicroBatches(Protocol[M]):
    """Endless micro-batches of one rank, whose position a checkpoint keeps: a `StreamLoader`, or windows of tracks."""

    def __iter__(self) -> Iterator[M]:
        """Yield micro-batches from the current position on."""

    def state_dict(self) -> dict[str, Any]:
        """Return the position from which they continue."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state. Raises UserError for one of other data."""


@dataclass(frozen=True, kw_only=True)
class RunLengths:
    """Lengths of a training run, in optimizer steps."""

    steps: int  # step at which the run is finished
    accumulation: int  # micro-batches per step
    checkpoint_every: int  # steps between two checkpoints
    nonfinite_limit: int  # consecutive skipped steps after which the run stops
    is_over: Callable[[int], bool] = lambda step: False  # whether a run ends early at a step; on every rank the same


@dataclass(kw_only=True)
class Trainer(Generic[B]):
    """Everything that one rank needs to train: the model, its step, its data and its checkpoints."""

    model: nn.Module  # wrapped by DDP or FSDP2
    train_step: TrainStep[B]  # one optimizer step of the wrapped model
    loader: MicroBatches[B]  # of this rank
    checkpoints: Checkpoints  # checkpoints of the run, written by all ranks
    context: DistributedContext  # rank and device of this process

    def resume(self, from_step: int | None) -> int:
        """Load the newest checkpoint, or that of `from_step`, and return its step; 0 without a checkpoint.

        Raises UserError for a step without a checkpoint, FaultError for a damaged checkpoint.
        """
        saved = decide_on_rank_0(lambda: self.checkpoints.newest(from_step))
        if saved is None:
            return 0
        self.checkpoints.load(saved, self.model, self.train_step.optimizer)
        self.train_step.scaler.load_state_dict(saved.state["scaler"])
        self.loader.load_state_dict(saved.state["stream"])
        _log.info("resumed from the checkpoint of step %d", saved.step)
        return saved.step

    def train(
        self,
        start: int,
        lengths: RunLengths,
        reporter: ProgressReporter,
        diverged: Callable[[int, Sequence[B]], FaultError | UserError],
    ) -> int:
        """Train from step `start` to the end or until a signal; save, and return the step that was reached.

        Raises the error that `diverged` returns after too many consecutive steps without a finite loss, and
        KeyboardInterrupt after a save that Ctrl-C asked for.
        """
        batches, skipped, reached, all_skipped = iter(self.loader), 0, start, 0
        with stop_requested() as signals:
            for step in range(start, lengths.steps):
                if lengths.is_over(step):  # also of a run that is resumed after its early end
                    break
                fetch_s = time.perf_counter()
                micro_batches = list(islice(batches, lengths.accumulation))
                compute_s = time.perf_counter()
                result = self.train_step.run(step, micro_batches)
                waited_s, computed_s = compute_s - fetch_s, time.perf_counter() - compute_s
                reporter.step(step, result.values(), waited_s=waited_s, computed_s=computed_s)
                skipped = skipped + 1 if result.skipped else 0
                all_skipped += result.skipped
                if skipped >= lengths.nonfinite_limit:
                    self.checkpoints.wait()  # skipped steps change no weight, so the checkpoint being written is good
                    raise diverged(step, micro_batches)
                reached = step + 1
                self.checkpoints.poll()  # a full disk stops the run at the next step, not at the next checkpoint
                # A scheduler may signal one rank only, or ranks between different steps; all must save the same step.
                stopping = all_reduce_any(bool(signals), self.context.device)
                if stopping or reached % lengths.checkpoint_every == 0 or reached == lengths.steps:
                    self._save(reached)
                if stopping:
                    _log.warning(
                        "a signal stopped the run at step %d; it is saved, and the same command continues", reached
                    )
                    break
            self.checkpoints.wait()  # inside the context: a second signal must not kill the writing thread
            if all_skipped > _MAX_SKIPPED_SHARE * (reached - start):
                log_of_rank_0(__name__).warning(
                    "%s of %s changed no weight, because the loss or the gradient was not finite; look for nan in data "
                    "and weights, and try a smaller learning rate",
                    f"{all_skipped:,}",
                    count_noun(reached - start, "step"),
                )
        if signal.SIGINT in signals:  # the shell that runs this command in a loop must see that the user stopped it
            raise KeyboardInterrupt
        return reached

    def _save(self, step: int) -> None:
        state = {"scaler": self.train_step.scaler.state_dict(), "stream": self.loader.state_dict()}
        self.checkpoints.save(step, self.model, self.train_step.optimizer, state)


@contextmanager
def stop_requested() -> Iterator[list[int]]:
    """Collect the signals that ask for an end in the list that is yielded; a second Ctrl-C raises KeyboardInterrupt.

    They are SIGTERM (a scheduler ends the job), SIGUSR1 (it will end soon) and SIGINT (Ctrl-C). Outside the main
    thread, where Python allows no handlers, none is collected.
    """
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return

    # Only noted: an exception raised in the middle of a collective would leave other ranks waiting.
    def note(number: int, frame: object) -> None:
        if number == signal.SIGINT and number in received:
            raise KeyboardInterrupt
        received.append(number)

    numbers = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
    previous = [signal.signal(number, note) for number in numbers]
    try:
        yield received
    finally:
        for number, handler in zip(numbers, previous, strict=True):
            signal.signal(number, handler)
