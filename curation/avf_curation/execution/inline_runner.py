"""Run units in this process, one after another, to debug and where there is no Ray."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from avf_curation.execution.circuit_breaker import CircuitBreaker
from avf_curation.execution.events import Event
from avf_curation.execution.isolated import run_isolated
from avf_curation.execution.limits import MAX_STORAGE_FAULTS
from avf_curation.execution.worker import UnitWorker, WorkerSetup
from avf_curation.pipeline.failures import (
    MENDING_ADVICE,
    InfrastructureError,
    MemoryShortageError,
    StorageError,
    machine_fault,
)
from avf_curation.pipeline.unit_job import UnitJob, UnitReport


class InlineRunner:
    """A worker in this process that tries a unit again after a fault that may pass."""

    def __init__(self, setup: WorkerSetup, breaker: CircuitBreaker, emit: Callable[[Event], None]) -> None:
        self._worker, self._breaker, self._emit = UnitWorker(setup), breaker, emit

    def run(self, jobs: Iterator[UnitJob]) -> Iterator[UnitReport]:
        """Run `jobs` and yield a report whenever a unit is committed. Raises InfrastructureError."""
        waiting = jobs
        while True:
            put_back: list[UnitJob] = []
            for job in waiting:
                report = self._run_unit(job)
                if report.is_committed:
                    yield report
                else:
                    self._emit(Event(name="unit_put_back", unit=job.unit, message=report.fault_example))
                    put_back.append(replace(job, known_faults=report.faults))
                self._breaker.record(report, machine=None)
            if not put_back:
                return
            waiting = iter(put_back)  # only now that all others show whether their failures are exceptions

    def _run_unit(self, job: UnitJob) -> UnitReport:
        """Curate a unit, and commit it. Raises InfrastructureError."""
        self._emit(Event(name="unit_started", unit=job.unit, pool="inline"))
        storage_faults, is_isolated = 0, False
        while True:
            try:
                return run_isolated(self._worker, job) if is_isolated else self._worker.run(job)
            except MemoryShortageError as error:
                if is_isolated:
                    raise
                is_isolated = True
                self._emit(Event(name="unit_isolated", unit=job.unit, message=str(error)))
                continue
            except StorageError as error:
                fault: InfrastructureError = error
            except OSError as error:  # of the commit
                fault = machine_fault(error)
                if not isinstance(fault, StorageError):
                    raise fault from error
            self._emit(Event(name="unit_put_back", unit=job.unit, message=str(fault)))
            storage_faults += 1
            if storage_faults == MAX_STORAGE_FAULTS:
                raise InfrastructureError(f"{fault}; {MENDING_ADVICE}") from fault
