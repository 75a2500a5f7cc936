"""Stops a run whose videos fail for reasons that are not the videos': a lost disk, a broken library, a bad machine."""

from collections import Counter
from collections.abc import Mapping

from avf_curation.pipeline.failures import InfrastructureError
from avf_curation.pipeline.unit_job import UnitReport

DEFAULT_MAX_SHARE = 0.05
MIN_VIDEOS = 20  # below so many videos of a source or a machine a share says nothing
_ADVICE: Mapping[str, str] = {
    "missing": "mount the source's folder, or give the right one",
    "unreadable": "mount the source's folder, or give the right one",
    "input_changed": "bring back the files as they were, or plan them as they are now in a new run",
    "killed": "a library crashes here: install the environment anew, and see log/events.jsonl",
}
_Group = tuple[str, str]  # "source" or "machine", and which


class CircuitBreaker:
    """Counts videos and their failures of kinds that are not the file's, for each source, machine and kind."""

    def __init__(self, max_share: float) -> None:
        """Allow such failures for a share of the videos, 0 to 1."""
        self._max_share = max_share
        self._videos: Counter[_Group] = Counter()
        self._faults: Counter[tuple[_Group, str]] = Counter()
        self._put_back: dict[int, tuple[list[_Group], UnitReport]] = {}  # by unit: reports that do not count for good

    def record(self, report: UnitReport, machine: str | None) -> None:
        """Count the videos of a unit that was decided or put back; its latest report counts.

        Raises InfrastructureError where too many videos of its source, or of its machine, failed with one kind.
        """
        if report.unit in self._put_back:
            self._add(*self._put_back.pop(report.unit), sign=-1)
        groups = [("source", report.source)] + ([] if machine is None else [("machine", machine)])
        self._add(groups, report, sign=1)
        if not report.is_committed:
            self._put_back[report.unit] = (groups, report)
        for group in groups:
            for kind in report.faults:
                self._check(group, kind, report.fault_example)

    def _add(self, groups: list[_Group], report: UnitReport, sign: int) -> None:
        for group in groups:
            self._videos[group] += sign * report.videos
            for kind, count in report.faults.items():
                self._faults[group, kind] += sign * count

    def _check(self, group: _Group, kind: str, example: str) -> None:
        videos, failed = self._videos[group], self._faults[group, kind]
        if videos < MIN_VIDEOS or failed <= self._max_share * videos:
            return
        advice = _ADVICE.get(kind, "the program or a library fails here, not the files: mend the machine")
        raise InfrastructureError(
            f"{failed} of {videos} videos of {' '.join(group)} failed with {kind}, more than "
            f"--max-fault-share {self._max_share:g} allows; the latest is {example}. This says more about the machine "
            f"than about the videos, so their units stay undecided: {advice}; then the same command continues"
        )
