"""Stops a run whose videos fail for reasons that are not the videos': a lost disk, a broken library, a bad machine."""

from collections import Counter
from collections.abc import Mapping

from avf_curation.pipeline.failures import InfrastructureError
from avf_curation.pipeline.unit_job import UnitReport

MIN_VIDEOS = 20  # below so many videos a share says nothing
MIN_FAILURES = 5  # two files that are gone among the first thirty are no lost disk
_ADVICE: Mapping[str, str] = {
    "missing": "mount the source's folder, or give the right one",
    "unreadable": "mount the source's folder, or give the right one",
    "input_changed": "bring back the files as they were, or plan them as they are now in a new run",
    "killed": "a library crashes here: install the environment anew, and see log/events.jsonl",
    "storage": "mend the disk, the mount or the permissions",
    "library": "install the environment anew",
}
_OVERRIDES: Mapping[str, str] = {
    "storage": "If these files are lost, --max-fault-share 1 with --fail-unreadable lets them fail",
    "library": "No option lets videos fail for this reason",
}
_NEVER_MOST = ("storage", "library", "input_changed")  # kinds that a few videos may all have
_OVERRIDE = "If it is the files after all, --max-fault-share 1 lets them fail, and retry tries them again later"
_Group = tuple[str, str]  # "source" or "machine", and which
_RUN: _Group = ("the", "run")


class CircuitBreaker:
    """Counts videos, and failures of kinds that are not the file's, for each source, for each machine and for the run.

    Only failures of units that are put back count. Those of a committed unit were counted while it was put back, and
    are decided.
    """

    def __init__(self, max_share: float, decided: Mapping[str, int] | None = None) -> None:
        """Allow such failures for a share of the videos, 0 to 1.

        Args:
            decided: source -> videos of the run that are decided already. An interrupted run has little left but units
                that were put back, and a retry has only videos that failed: alone they look like a broken source.
        """
        self._max_share = max_share
        self._videos: Counter[_Group] = Counter()
        for source, videos in (decided or {}).items():
            self._videos["source", source] = videos
        self._decided = self._videos[_RUN] = self._videos.total()
        self._faults: Counter[tuple[_Group, str]] = Counter()  # of units that are put back
        self._examples: dict[tuple[_Group, str], str] = {}  # the latest failure of a group and kind, in words
        self._put_back: dict[int, tuple[list[_Group], UnitReport]] = {}  # by unit: reports that do not count for good

    def record(self, report: UnitReport, machine: str | None) -> None:
        """Count the videos of a unit that was committed or put back; its latest report counts.

        Raises InfrastructureError where too many videos of a source, of a machine or of the run failed with one kind.
        That ends the run, so the report of a committed unit is noted first.
        """
        if report.unit in self._put_back:
            self._add(*self._put_back.pop(report.unit), sign=-1)
        groups = [("source", report.source)] + ([] if machine is None else [("machine", machine)]) + [_RUN]
        self._add(groups, report, sign=1)
        if not report.is_committed:
            self._put_back[report.unit] = (groups, report)
        for group, kind in self._faults:
            self._check(group, kind)

    def _add(self, groups: list[_Group], report: UnitReport, sign: int) -> None:
        for group in groups:
            self._videos[group] += sign * report.videos
            if report.is_committed:
                continue
            for kind, count in report.faults.items():
                self._faults[group, kind] += sign * count
                self._examples[group, kind] = report.fault_example

    def _check(self, group: _Group, kind: str) -> None:
        videos, failed = self._videos[group], self._faults[group, kind]
        if videos < MIN_VIDEOS or failed < MIN_FAILURES or failed <= self._max_share * videos:
            return
        if group[0] == "machine" and not self._is_worse_than_others(group, kind):
            return
        raise self._error(group, kind, f"more than --max-fault-share {self._max_share:g} allows")

    def check_small_groups(self) -> None:
        """Raise InfrastructureError where most videos of a source or run of fewer than 20 failed with one kind.

        Call it when all units have had their first try. No share is taken of so few videos, but a broken library or a
        folder that is gone must not decide them either. A read that failed is tried again first, and a file that
        changed is there and can be read. The only video of a source, among others, may be an exception.
        """
        if self._max_share >= 1:
            return
        for group, kind in self._faults:
            videos, failed = self._videos[group], self._faults[group, kind]
            if group[0] == "machine" or videos >= MIN_VIDEOS or kind in _NEVER_MOST:
                continue
            if failed >= (1 if group == _RUN else 2) and 2 * failed > videos:
                raise self._error(group, kind, "most of them")

    def _error(self, group: _Group, kind: str, share: str) -> InfrastructureError:
        """Return the error of a group of which too many videos failed; `share` says how many that are."""
        videos, failed = self._videos[group], self._faults[group, kind]
        advice = _ADVICE.get(kind, "the program or a library fails here, not the files: mend the machine")
        blamed, continues = "machine", "; then the same command continues"
        if kind == "package_fault":  # another version of the package has another fingerprint
            blamed, continues = "installed package", ""
            advice = "tell its owners; curate with another version of it, or without it, into another folder"
        return InfrastructureError(
            f"{failed} of {videos} videos of {' '.join(group)} failed with {kind}, {share}; the latest is "
            f"{self._examples[group, kind]}. This says more about the {blamed} than about the videos, so their units "
            f"stay undecided: {advice}{continues}. {_OVERRIDES.get(kind, _OVERRIDE)}"
        )

    def _is_worse_than_others(self, machine: _Group, kind: str) -> bool:
        """Return whether a machine fails for a larger share of its videos than all others, by more than is allowed.

        What a run has left when it starts again fails as often on every machine. Then the run's own share tells.
        """
        videos = self._videos[_RUN] - self._decided - self._videos[machine]
        failed = self._faults[_RUN, kind] - self._faults[machine, kind]
        if videos < MIN_VIDEOS:
            return False
        return self._faults[machine, kind] / self._videos[machine] > failed / videos + self._max_share
