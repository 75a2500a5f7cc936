"""Tracks by the workers of a Ray cluster whose nodes see the same folders: each loads the extractor once.

A worker writes a whole track under its final name, so that what stands there is all that a later start has to know.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from avf_shards.errors import FaultError, UserError

from avf_training.distributed.ray_cluster import RayResources
from avf_training.framewise.tracks.extraction import ExtractionReport, OnSubject, TrackExtraction
from avf_training.framewise.tracks.track_input import TrackInput

log = logging.getLogger(__name__)
_MOST_LOST = 3  # workers in a row that end before they have written a track
MakeExtraction = Callable[[], TrackExtraction]
"""Function that a worker calls once: it loads the extractor."""


@dataclass(frozen=True, kw_only=True)
class RayWorkers:
    """How many workers there are, and what each asks Ray for."""

    count: int
    gpus: float  # of each

    @classmethod
    def from_resources(cls, resources: RayResources, jobs: int | None, device: str | None) -> "RayWorkers":
        """Return `jobs` workers, or one for each GPU, or else for each CPU. Raises UserError where a GPU lacks.

        `device`: "cpu", "cuda", or None for cuda where a node has one.
        """
        if device == "mps":
            raise UserError("--device mps: Ray does not count Apple's GPUs; leave --ray out, or take cpu")
        if device == "cuda" and not resources.gpus:
            raise UserError("--device cuda: the Ray cluster has no GPU")
        uses_gpus = device != "cpu" and resources.gpus > 0
        return cls(
            count=jobs or max(1, resources.gpus if uses_gpus else resources.cpus), gpus=1.0 if uses_gpus else 0.0
        )


class TrackWorker:
    """A process of the cluster."""

    def __init__(self, make: MakeExtraction) -> None:
        self._extraction = make()

    def write(self, track_input: TrackInput) -> ExtractionReport:
        """Write a track, and return what became of it."""
        self._extraction.report = ExtractionReport()
        self._extraction.write(track_input)
        return self._extraction.report


class RayExtraction:
    """An extraction whose tracks are written by workers; what stands there is left, as without Ray."""

    def __init__(self, extraction: TrackExtraction, make: MakeExtraction, workers: RayWorkers) -> None:
        """Remember what to do; the cluster is connected already.

        Args:
            extraction: of the same extractor, which looks what stands there.
            make: called by each worker; pickled by value where it is a closure.
            workers: how many at most.
        """
        import ray

        self._extraction, self._make, self._workers, self._ray = extraction, make, workers, ray
        # No restarts by Ray: a track that ends its worker would end the next one too.
        self._remote = ray.remote(num_cpus=1, num_gpus=workers.gpus, max_restarts=0)(TrackWorker)
        self._lost = 0  # workers in a row

    def run(self, inputs: Iterable[TrackInput], on_subject: OnSubject) -> ExtractionReport:
        """Write the tracks that are missing, and return what became of all.

        A worker that ends costs the track it was at. Raises as `TrackExtraction.run`, and UserError where workers end
        one after another.
        """
        waiting = self._extraction.list_missing(inputs)
        total = len(waiting)
        idle = [self._start() for _ in range(min(total, self._workers.count))]
        busy: dict[Any, tuple[Any, TrackInput]] = {}  # reference to the result -> worker and what it writes
        started = 0
        waiting.reverse()
        while waiting or busy:
            while idle and waiting:
                worker, track_input = idle.pop(), waiting.pop()
                started += 1
                on_subject(track_input.subject, started, total)
                busy[worker.write.remote(track_input)] = (worker, track_input)
            (ready,), _ = self._ray.wait(list(busy), num_returns=1)
            worker, track_input = busy.pop(ready)
            idle.append(worker if self._collect(ready, track_input) else self._start())
        return self._extraction.report

    def _start(self) -> Any:
        return self._remote.remote(self._make)

    def _collect(self, reference: Any, track_input: TrackInput) -> bool:
        """Add the report behind a reference to ours; return whether the worker lives."""
        try:
            report = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, UserError | FaultError):
                raise error.cause from None
            raise
        except self._ray.exceptions.RayActorError as error:
            self._lost += 1
            reason = next(iter(str(error).splitlines()), "no reason")[:200]
            if self._lost >= _MOST_LOST:
                raise UserError(f"workers of the Ray cluster end one after another: {reason}") from None
            self._extraction.report.faults.append(f"{track_input.subject}: the worker that wrote it ended ({reason})")
            return False
        self._lost = 0
        ours = self._extraction.report
        ours.written, ours.skipped = ours.written + report.written, ours.skipped + report.skipped
        ours.frames += report.frames
        ours.faults += report.faults
        return True
