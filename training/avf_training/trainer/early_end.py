"""The early end of a run whose validation scores have stopped to rise, the same for every stage."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

_log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class EarlyEnd:
    """Decides from the scores that a run's folder has, so that a run which was stopped and resumed ends where it would.

    A run without any score goes on: nothing has stopped to rise.
    """

    metric: str  # name of the score
    patience: int | None  # evaluations without a better score after which the run ends; None: it takes all steps
    every: int  # steps between two evaluations
    read_scores: Callable[
        [], Mapping[int, float | None]
    ]  # by the last step before it; None where undefined; collective
    _is_told: bool = False

    def is_over(self, step: int) -> bool:
        """Return whether a run ends before a step. Collective at the steps after an evaluation."""
        if self.patience is None or step == 0 or step % self.every:
            return False
        scores = {scored: score for scored, score in self.read_scores().items() if scored < step}
        defined = {scored: score for scored, score in scores.items() if score is not None}
        if not defined:
            return False
        highest = max(defined.values())
        best = min(scored for scored, score in defined.items() if score == highest)  # the first of equals
        over = sum(scored > best for scored in scores) >= self.patience
        if over and not self._is_told:
            self._is_told = True
            _log.info(
                "the run ends at step %d: %d evaluations without a better %s than %.3f of step %d",
                *(step, self.patience, self.metric, highest, best + 1),
            )
        return over
