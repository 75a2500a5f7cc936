"""A run's steps, the same for every stage: checkpoints, signals, what is told."""

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic, TypeVar

from avf_shards.errors import FaultError
from torch import nn

from avf_training.data.batch import Batch
from avf_training.data.loader import StreamLoader
from avf_training.distributed.collectives import all_reduce_any
from avf_training.distributed.context import DistributedContext
from avf_training.trainer.checkpoint import Checkpoints
from avf_training.trainer.loop import TrainStep
from avf_training.trainer.progress import ProgressReporter

B = TypeVar("B", bound=Batch)


@dataclass(frozen=True, kw_only=True)
class RunLengths:
    """Of a run, in steps. accumulation: micro-batches of one; nonfinite_limit: skipped ones in a row that end it."""

    steps: int
    accumulation: int
    checkpoint_every: int
    nonfinite_limit: int


@dataclass(kw_only=True)
class Trainer(Generic[B]):
    """All that one process of a run needs for its steps. diverged: called after too many steps without a number."""

    model: nn.Module
    loop: TrainStep[B]
    loader: StreamLoader[Any, B]
    checkpoints: Checkpoints
    place: DistributedContext

    def resume(self, from_step: int | None) -> int:
        """Go on from the newest checkpoint or the one asked for; the step. Raises UserError, FaultError."""
        saved = self.checkpoints.newest(from_step)
        if saved is None:
            return 0
        self.checkpoints.load(saved, self.model, self.loop.optimiser)
        self.loop.scaler.load_state_dict(saved.state["scaler"])
        self.loader.load_state_dict(saved.state["stream"])
        return saved.step

    def train(
        self,
        start: int,
        lengths: RunLengths,
        watch: ProgressReporter,
        diverged: Callable[[int, Sequence[B]], FaultError],
    ) -> int:
        """Steps from `start` to the end, or until a signal; the step reached, saved."""
        batches, skipped, reached = iter(self.loader), 0, start
        with stop_requested() as stopping:
            for step in range(start, lengths.steps):
                asked_s = time.perf_counter()
                micro_batches = list(islice(batches, lengths.accumulation))
                begun_s = time.perf_counter()
                done = self.loop.step(step, micro_batches)
                watch.step(step, done.values(), waited_s=begun_s - asked_s, computed_s=time.perf_counter() - begun_s)
                skipped = skipped + 1 if done.skipped else 0
                if skipped >= lengths.nonfinite_limit:
                    self.checkpoints.wait()
                    raise diverged(step, micro_batches)
                reached = step + 1
                self.checkpoints.poll()
                ending = all_reduce_any(bool(stopping), self.place.device)
                if ending or reached % lengths.checkpoint_every == 0 or reached == lengths.steps:
                    self._save(reached)
                if ending:
                    break
            self.checkpoints.wait()
        return reached

    def _save(self, step: int) -> None:
        state = {"scaler": self.loop.scaler.state_dict(), "stream": self.loader.state_dict()}
        self.checkpoints.save(step, self.model, self.loop.optimiser, state)


@contextmanager
def stop_requested() -> Iterator[list[int]]:
    """The signals that came: SIGTERM (a scheduler ends the job) and SIGUSR1 (it will soon)."""
    came: list[int] = []
    kinds = (signal.SIGTERM, signal.SIGUSR1)
    before = [signal.signal(kind, lambda number, frame: came.append(number)) for kind in kinds]
    try:
        yield came
    finally:
        for kind, old in zip(kinds, before, strict=True):
            signal.signal(kind, old)
