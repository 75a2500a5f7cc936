"""Units that the machine does not let a worker finish: tried again after all others, and named when the run ends."""

from dataclasses import replace

from avf_shards.text import count_noun

from avf_curation.execution.limits import MAX_UNIT_TRIES
from avf_curation.pipeline.failures import InfrastructureError, PassingFaultError
from avf_curation.pipeline.unit_job import UnitJob, UnitReport

_SHOWN = 20  # units in the message at the end


class FaultyUnits:
    """Counts the tries of such units, and keeps the errors of those that stay undecided."""

    def __init__(self, *, fail_unreadable: bool) -> None:
        """Hold no unit.

        Args:
            fail_unreadable: in the last try of a unit, an input that still cannot be read fails.
        """
        self._fail_unreadable = fail_unreadable
        self._undecided: dict[int, PassingFaultError] = {}  # by number of the unit

    def next_try(self, job: UnitJob, error: PassingFaultError) -> UnitJob | None:
        """Return the job of a unit's next try, which comes after all other units; None where this was the last."""
        tries = job.machine_faults + 1
        if tries == MAX_UNIT_TRIES:
            self._undecided[job.unit] = error
            return None
        is_last = tries == MAX_UNIT_TRIES - 1
        return replace(job, machine_faults=tries, fails_unreadable=self._fail_unreadable and is_last)

    def check(self) -> None:
        """Raise InfrastructureError where units stay undecided, with the path and the error of each."""
        if not self._undecided:
            return
        errors = [str(error) for _, error in sorted(self._undecided.items())]
        shown = "; ".join(dict.fromkeys(errors[:_SHOWN]))
        more = f"; and {len(errors) - _SHOWN} more" if len(errors) > _SHOWN else ""
        is_readable = any(error.kind == "storage" for error in self._undecided.values())
        option = ", or let inputs that cannot be read fail with --fail-unreadable" if is_readable else ""
        raise InfrastructureError(
            f"{shown}{more}; nothing is decided about the videos of {count_noun(len(errors), 'unit')}, and all other "
            f"units are committed; mend the machine, then the same command continues{option}"
        )


def put_back_report(job: UnitJob, error: PassingFaultError) -> UnitReport:
    """Return the report of a unit that is put back for a fault of the machine, which counts as one video's."""
    return UnitReport(
        unit=job.unit,
        videos=len(job.videos),
        kept=0,
        rejected=0,
        failed=0,
        frames=0,
        source=job.videos[0].source,
        faults={error.kind: 1},
        fault_example=str(error),
        is_committed=False,
    )
