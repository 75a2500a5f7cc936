"""Scores of a data set from the finished runs of its folds: their mean and deviation, and of all test clips together.

OUT/fold-N/       the run of each fold
OUT/folds.json    what `fold_summary` returns; written when every fold is finished
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from avf_training.config.finetune import PROTOCOLS
from avf_training.evaluation.intervals import group_rows, metric_interval
from avf_training.evaluation.results import PREDICTIONS, read_predictions
from avf_training.evaluation.scoring import concat_predictions, score_predictions
from avf_training.tasks.catalog import Dataset

FOLDS = "folds.json"


def fold_folder(out: Path, number: int) -> Path:
    """Return the folder of the run of a fold."""
    return out / f"fold-{number}"


def fold_summary(data: Dataset, runs: Mapping[int, Path], unit_of: Mapping[str, str]) -> dict[str, Any]:
    """Return the scores of finished runs by protocol and metric. Raises UserError, FaultError for missing predictions.

    A mean over folds has no value where the metric is undefined in one of them, as under leave-one-subject-out: there
    the score of all clips together is the one that is published.

    Args:
        runs: number of the fold -> folder of its run.
        unit_of: key of a clip -> its person or session, as `LabelledShards.units` returns them.
    """
    protocols: dict[str, Any] = {}
    for protocol in PROTOCOLS:
        paths = [run / PREDICTIONS / f"{protocol}.json" for run in runs.values()]
        if not all(path.is_file() for path in paths):
            continue  # without validation clips, `validation` has selected no model
        parts = [read_predictions(path) for path in paths]
        together = concat_predictions(parts)
        scored = [score_predictions(data, part) for part in parts]
        metrics: dict[str, Any] = {}
        for name, score in score_predictions(data, together).items():
            values = [scores[name].value for scores in scored]
            defined = [value for value in values if value is not None]
            complete = len(defined) == len(values)
            interval = metric_interval(data, together, name, unit_of)
            metrics[name] = {
                "folds": values,
                "mean": float(np.mean(defined)) if complete else None,
                "deviation": float(np.std(defined, ddof=1)) if complete and len(defined) > 1 else None,
                "pooled": score.value,
                "interval": interval.as_list(),
                "no_interval": interval.reason,
            }
        clips, units = len(together.keys), len(group_rows(together, unit_of))
        protocols[protocol] = {"clips": clips, "people": units, "scores": metrics}
    return {"data": data.name, "folds": list(runs), "protocols": protocols}
