"""The best epochs of a run by their validation scores; RUN/evaluation.jsonl has the scores, RUN/best the models."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from avf_shards.system import durable_io

from avf_training.framewise.labels.tasks import FrameLabelTask
from avf_training.framewise.training.frame_scores import PARTS
from avf_training.trainer.early_end import EarlyEnd
from avf_training.trainer.metrics_writer import EVALUATION, read_lines

BEST = "best"
WHOLE = "score"  # the name of the epoch with the best score of the task
EvaluationRow = Mapping[str, Any]


class FrameSelection:
    """Keeps the model of each best epoch: of the task's score, and of valence and of arousal apart."""

    def __init__(self, out: Path, task: FrameLabelTask, patience: int | None, every: int) -> None:
        """Remember the run's folder. `every`: steps between two evaluations."""
        self._out = out
        self._early_end = EarlyEnd(
            metric=f"validation {task.metric}", patience=patience, every=every, read_scores=self._read_scores
        )
        self.names = {WHOLE: task.metric, **(PARTS if task.name == "va" else {})}

    def keep(self, step: int, scores: Mapping[str, float], save: Callable[[Path], None]) -> None:
        """Save the model where a score is the best until now.

        Models carry their step in their name, and the row of this step is written after them: a model without a row,
        as a killed run leaves it, is never chosen, and is replaced when the step is scored again.
        """
        rows = self.rows(step)
        for name, metric in self.names.items():
            best = self.best(rows, name)
            score = scores[metric]
            self._remove_others(name, None if best is None else best[0])
            if math.isfinite(score) and (best is None or score > best[1]):
                folder = self.folder(name, step)
                durable_io.make_folder(folder.parent)
                save(folder)

    def rows(self, before: int | None = None) -> list[EvaluationRow]:
        """Return the evaluations until now, or those before a step."""
        return [row for row in read_lines(self._out / EVALUATION) if before is None or row["step"] < before]

    def has_score(self) -> bool:
        """Return whether the task's score is defined in an evaluation."""
        return self.best(self.rows(), WHOLE) is not None

    def best(self, rows: list[EvaluationRow], name: str) -> tuple[int, float] | None:
        """Return (step, score) of the best evaluation, the first of equals; None where no score is defined."""
        metric = self.names[name]
        scored = [(row["step"], row[metric]) for row in rows if row.get(metric) is not None]
        return max(scored, key=lambda pair: (pair[1], -pair[0])) if scored else None

    def folder(self, name: str, step: int) -> Path:
        """Return the folder of a best model."""
        return self._out / BEST / f"{name}-{step + 1:08d}"

    def is_over(self, step: int) -> bool:
        """Return whether a run ends before a step, because its scores have stopped to rise."""
        return self._early_end.is_over(step)

    def _read_scores(self) -> dict[int, float | None]:
        return {row["step"]: row.get(self.names[WHOLE]) for row in self.rows()}

    def _remove_others(self, name: str, step: int | None) -> None:
        chosen = None if step is None else self.folder(name, step).name
        for path in (self._out / BEST).glob(f"{name}-*"):
            if path.name != chosen:
                durable_io.remove(path)
