"""What a detector says of each window of each file, and the probability of a file from those of its windows.

A file may have several clips, of several people or shots; the windows of all of them count alike. Shapes: N files.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from avf_shards.errors import FaultError
from avf_shards.text import count_noun

from avf_training.evaluation.roc_curve import trace_roc
from avf_training.evaluation.scoring import Predictions, TimedScore
from avf_training.models.pooling import POOLS, Pool, pool_windows
from avf_training.tasks.task import Task


@dataclass(frozen=True, kw_only=True)
class FileWindows:
    """The windows of clips of a task, hop after hop."""

    task: Task
    windows: Mapping[str, tuple[TimedScore, ...]]  # key of a clip that could be read -> its windows
    unreadable: tuple[str, ...]  # keys of the other clips

    def pooled(self, pool: Pool) -> Predictions:
        """Return the probabilities of each file. Raises FaultError where no clip could be read."""
        if not self.windows and self.unreadable:
            raise FaultError(
                f"{self.task.name}: none of its {count_noun(len(self.unreadable), 'clip')} to score can be read"
            )
        fakes_of: dict[str, list[float]] = {}
        truth_of: dict[str, float] = {}
        for key in sorted(self.windows):
            file = self.task.group_of.get(key, key)
            fakes_of.setdefault(file, []).extend(window.score for window in self.windows[key])
            truth_of[file] = self.task.truth[key]
        files = sorted(fakes_of)
        fake_N = np.array([pool_windows(fakes_of[file], pool) for file in files])
        return Predictions(
            keys=tuple(files),
            truth=np.array([truth_of[file] for file in files], float),
            scores_NJ=np.stack([1 - fake_N, fake_N], 1),
            unreadable=self.unreadable,
            windows=self.windows,
        )

    def score_pools(self) -> dict[Pool, float | None]:
        """Return the AUC of the files by each way to pool their windows; None where one class is missing."""
        scores: dict[Pool, float | None] = {}
        for pool in POOLS:
            predictions = self.pooled(pool)
            curve = trace_roc(predictions.truth.astype(int).tolist(), predictions.scores_NJ[:, 1].tolist())
            scores[pool] = None if curve is None else curve.auc
        return scores

    def best_pool(self) -> Pool:
        """Return the way to pool with the highest AUC, the first of equals."""
        scores = self.score_pools()
        return max(POOLS, key=lambda pool: (scores[pool] or 0.0, -POOLS.index(pool)))
