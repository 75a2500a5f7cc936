"""Run units in this process, one after another, to debug and where there is no Ray."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from avf_curation.execution.circuit_breaker import CircuitBreaker
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

    def __init__(self, setup: WorkerSetup, breaker: CircuitBreaker, emit: Callable[[Event], None]) -> None:
        self._worker, self._breaker, self._emit = UnitWorker(setup), breaker, emit

    def run(self, jobs: Iterator[UnitJob]) -> Iterator[UnitReport]:
        """Run `jobs` and yield a report whenever a unit is committed. Raises InfrastructureError."""
        put_back: list[UnitJob] = []
        for job in jobs:
            report = self._run_unit(job)
            self._breaker.record(report, machine=None)
            if report.is_committed:
                yield report
            else:
                self._emit(Event(name="unit_put_back", unit=job.unit, message=report.fault_example))
                put_back.append(replace(job, commits_faults=True))
        for job in put_back:  # only now that all others show whether their failures are exceptions
            report = self._run_unit(job)
            self._breaker.record(report, machine=None)
            yield report

    def _run_unit(self, job: UnitJob) -> UnitReport:
        """Curate a unit, and commit it. Raises InfrastructureError."""
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
