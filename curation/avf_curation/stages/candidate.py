"""A span on its way through the stages: what was measured, which comparisons were made."""

from dataclasses import dataclass, field, replace
from typing import Any

from avf_shards.schema.ledger import Check
from avf_shards.timeline import Span


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A span still alive. `measurements`: stage -> plain values for the ledger."""

    span: Span
    checks: tuple[Check, ...] = ()
    measurements: dict[str, Any] = field(default_factory=dict)

    def with_stage(
        self, stage: str, measured: dict[str, Any], checks: tuple[Check, ...], gate: str = "decide"
    ) -> "Candidate":
        """The candidate with one more stage behind it; a gate that only measures leaves its checks as a note."""
        if gate == "measure":
            before = measured.get("would_reject", [])
            measured = measured | {"would_reject": before + [check.reason for check in checks if check.passed is False]}
            checks = ()
        return replace(self, checks=self.checks + checks, measurements=self.measurements | {stage: measured})

    @property
    def failed_check(self) -> Check | None:
        """The first comparison that rejects the span."""
        return next((check for check in self.checks if check.passed is False), None)
