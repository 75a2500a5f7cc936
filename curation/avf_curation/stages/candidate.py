"""A span on its way through the stages, with its measurements and its checks so far."""

from dataclasses import dataclass, field, replace
from typing import Any

from avf_shards.schema.ledger import Check
from avf_shards.timeline import Span


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A span that no stage has ended yet."""

    span: Span  # frames of the video
    checks: tuple[Check, ...] = ()  # of all stages that decide, in their order
    measurements: dict[str, Any] = field(default_factory=dict)  # stage -> plain values for the ledger

    def with_stage(
        self, stage: str, measured: dict[str, Any], checks: tuple[Check, ...], gate: str = "decide"
    ) -> "Candidate":
        """Return the candidate with the measurements and checks of one more stage.

        Checks of a stage that only measures reject nothing: the reasons of the failed ones are recorded under
        `would_reject` instead.
        """
        if gate == "measure":
            # quality is recorded twice: alone and pooled over its group; the second keeps the reasons of the first.
            reasons = measured.get("would_reject", [])
            measured = measured | {
                "would_reject": reasons + [check.reason for check in checks if check.passed is False]
            }
            checks = ()
        return replace(self, checks=self.checks + checks, measurements=self.measurements | {stage: measured})

    @property
    def failed_check(self) -> Check | None:
        """The first check that rejects the span; None while no check does."""
        return next((check for check in self.checks if check.passed is False), None)
