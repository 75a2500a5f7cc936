"""Run units in this process, one after another, to debug and where there is no Ray."""

from collections.abc import Callable

from avf_curation.execution.events import Event
from avf_curation.execution.isolated import run_isolated
from avf_curation.execution.worker import UnitWorker, WorkerSetup
from avf_curation.pipeline.failures import (
    MENDING_ADVICE,
    InfrastructureError,
    MemoryShortageError,
    StorageError,
    machine_fault,
)
from avf_curation.pipeline.unit_job import UnitJob, UnitReport

_MAX_TRIES = 3  # of a unit whose files cannot be read or written; then the run stops


class InlineRunner:
    """A worker in this process that tries a unit again after a fault that may pass."""

    def __init__(self, setup: WorkerSetup, emit: Callable[[Event], None]) -> None:
        self._worker, self._emit = UnitWorker(setup), emit

    def run(self, job: UnitJob) -> UnitReport:
        """Curate and commit one unit. Raises InfrastructureError."""
        self._emit(Event(name="unit_started", unit=job.unit, pool="inline"))
        fault: InfrastructureError | None = None
        for _ in range(_MAX_TRIES):
            try:
                return self._worker.run(job)
            except MemoryShortageError as error:
                self._emit(Event(name="unit_isolated", unit=job.unit, message=str(error)))
                return run_isolated(self._worker, job)
            except StorageError as error:
                fault = error
            except OSError as error:  # of the commit
                fault = machine_fault(error)
                if not isinstance(fault, StorageError):
                    raise fault from error
            self._emit(Event(name="unit_put_back", unit=job.unit, message=str(fault)))
        raise InfrastructureError(f"{fault}; {MENDING_ADVICE}") from fault
