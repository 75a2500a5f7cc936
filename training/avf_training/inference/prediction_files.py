"""Predictions as files: JSON, and CSV with a row for each window."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from avf_shards.system import durable_io

from avf_training.inference.predictions import PersonPrediction


def predictions_as_values(predictions: Sequence[PersonPrediction]) -> list[dict[str, Any]]:
    """Return predictions as JSON values, each with its mean scores and its best class."""
    return [asdict(each) | {"mean": each.mean, "best": each.best} for each in predictions]


def write_predictions_file(predictions: Sequence[PersonPrediction], out: Path) -> None:
    """Write predictions as the ending of `out` says: .json or .csv."""
    if out.suffix.lower() == ".json":
        text = json.dumps(predictions_as_values(predictions), indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    else:
        text = _as_csv(predictions)
    durable_io.replace_file(out, text.encode())


def _as_csv(predictions: Sequence[PersonPrediction]) -> str:
    """Return a table: video, person (from 1, as in the figure), seconds, the best class, and a column for each name."""
    file = io.StringIO()
    table = csv.writer(file, lineterminator="\n")
    names = predictions[0].names
    table.writerow(["video", "person", "start_s", "stop_s", *(["best"] if predictions[0].classes else []), *names])
    for each in predictions:
        for window in each.windows:
            best = [names[window.scores.index(max(window.scores))]] if each.classes else []
            times = f"{window.start_s:.2f}", f"{window.stop_s:.2f}"
            scores = (f"{score:.4f}" for score in window.scores)
            table.writerow([each.video_id, each.person + 1, *times, *best, *scores])
    return file.getvalue()
