"""Runs of `finetune --fold all` as their files alone: frozen clips, answers for the tested ones, learned clips."""

from pathlib import Path

import numpy as np
from avf_training.data.storage import StorageConfig
from avf_training.evaluation.results import write_predictions
from avf_training.evaluation.scoring import Predictions
from avf_training.tasks.catalog import Dataset
from avf_training.tasks.labelled_shards import LabelledShards
from avf_training.tasks.learned_clips import LearnedClips
from avf_training.tasks.task import Task, fold_task
from avf_training.trainer.run_folder import freeze_identity


def write_fold_runs(out: Path, data: Dataset, shards: Path, right: float = 0.75) -> list[Path]:
    """Write a run for each fold, whose model is right for a share of the clips; return their folders."""
    labelled = LabelledShards([shards], StorageConfig())
    runs = []
    for number in range(1, data.folds + 1):
        task, run = fold_task(data, labelled, number, "av", 0.0), out / f"fold-{number}"
        write_run(run, task, right)
        runs.append(run)
    return runs


def write_run(run: Path, task: Task, right: float = 0.75) -> None:
    """Write the files of a finished run that an expert's answers are read from."""
    freeze_identity(run, {"stage": "finetune", **task.identity()}, rank=0)
    draw = np.random.default_rng(int(task.name[-1]))
    truth_N = np.array([task.truth[key] for key in task.test])
    predicted_N = np.where(draw.random(len(truth_N)) < right, truth_N, (truth_N + 1) % task.outputs)
    scores_NJ = 0.1 + 0.6 * np.eye(task.outputs)[predicted_N] + 0.1 * draw.random((len(truth_N), task.outputs))
    scores_NJ /= scores_NJ.sum(1, keepdims=True)
    predictions = Predictions(keys=task.test, truth=truth_N.astype(float), scores_NJ=scores_NJ)
    write_predictions(run / "predictions/validation.json", task, predictions)
    LearnedClips.with_labels(task.identity_of[key] for key in (*task.train, *task.validation)).write(run)
    (run / "result.json").write_text("{}")
