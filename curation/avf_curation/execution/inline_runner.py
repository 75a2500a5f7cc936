"""Run units in this process, one after another, to debug and where there is no Ray."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from avf_curation.execution.circuit_breaker import CircuitBreaker
from avf_curation.execution.events import Event
from avf_curation.execution.faulty_units import FaultyUnits, put_back_report
from avf_curation.execution.isolated_pictures import run_in_children
from avf_curation.execution.worker import UnitWorker, WorkerSetup
from avf_curation.pipeline.failures import MemoryShortageError, PassingFaultError, machine_fault
from avf_curation.pipeline.unit_job import UnitJob, UnitReport


class InlineRunner:
    """A worker in this process that tries a unit again after a fault that may pass."""

    def __init__(self, setup: WorkerSetup, breaker: CircuitBreaker, emit: Callable[[Event], None]) -> None:
        self._worker, self._breaker, self._emit = UnitWorker(setup), breaker, emit
        self._faulty = FaultyUnits(fail_unreadable=setup.fail_unreadable)
        self._isolated: set[int] = set()  # units whose videos run in a process each

    def run(self, jobs: Iterator[UnitJob]) -> Iterator[UnitReport]:
        """Run `jobs` and yield a report whenever a unit is committed.

        Raises InfrastructureError, at the end for units that the machine did not let finish.
        """
        waiting = jobs
        while True:
            put_back: list[UnitJob] = []
            for job in waiting:
                report, next_job = self._try_unit(job)
                if report.is_committed:
                    yield report
                else:
                    self._emit(Event(name="unit_put_back", unit=job.unit, message=report.fault_example))
                    put_back += [] if next_job is None else [next_job]
                self._breaker.record(report, machine=None)
            self._breaker.check_small_groups()
            if not put_back:
                self._faulty.check()
                return
            waiting = iter(put_back)  # only now that all others show whether their failures are exceptions

    def _try_unit(self, job: UnitJob) -> tuple[UnitReport, UnitJob | None]:
        """Curate a unit, and commit it or return the job of its next try. Raises InfrastructureError."""
        self._emit(Event(name="unit_started", unit=job.unit, pool="inline"))
        try:
            report = self._run_unit(job)
        except PassingFaultError as error:
            return put_back_report(job, error), self._faulty.next_try(job, error)
        except OSError as error:  # of the commit
            fault = machine_fault(error)
            if not isinstance(fault, PassingFaultError):
                raise fault from error
            return put_back_report(job, fault), self._faulty.next_try(job, fault)
        return report, None if report.is_committed else replace(job, known_faults=report.faults)

    def _run_unit(self, job: UnitJob) -> UnitReport:
        """Curate and commit a unit; where memory runs out, with each video in its own process."""
        if job.unit not in self._isolated:
            try:
                return self._worker.run(job)
            except MemoryShortageError as error:
                self._isolated.add(job.unit)
                self._emit(Event(name="unit_isolated", unit=job.unit, message=str(error)))
        return run_in_children(self._worker, job)
