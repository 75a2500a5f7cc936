"""The tables of the page: outputs of the reported model, confusion, videos, published results and the protocol."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from avf_training.evaluation.metrics import Floats
from avf_training.framewise.combination.record import EnsembleRecord
from avf_training.framewise.labels.tasks import FrameLabelTask
from avf_training.framewise.predictions.frame_statistics import MEAN, count_valid, score_statistics
from avf_training.framewise.predictions.prediction_set import PredictionSet
from avf_training.framewise.protocol import (
    TOLD_ALONE,
    USED_BY,
    ProtocolOptions,
    list_differences,
    list_used_options,
    part_of_model,
)
from avf_training.framewise.report.published_abaw import published_scores
from avf_training.framewise.report.scored_model import ScoredModel


@dataclass(frozen=True, kw_only=True)
class ReportedOutput:
    """An output of the reported model: a dimension, an expression or an action unit."""

    name: str
    score: float | None  # CCC or F1; null where undefined
    low: float | None  # of the 95 % interval over people; null where there is none
    high: float | None
    interval: str  # why there is no interval; empty where there is one
    precision: float | None = None  # of classes and units
    recall: float | None = None
    true_frames: int | None = None  # frames that have it
    predicted_frames: int | None = None
    correlation: float | None = None  # Pearson's, of valence and arousal
    bias: float | None = None  # mean prediction minus mean truth
    rmse: float | None = None


@dataclass(frozen=True, kw_only=True)
class ReportedVideo:
    """A video of the reported model."""

    source: str
    video: str
    person: int
    split: str | None
    scene: str | None
    score: float | None  # mean over outputs on this video alone; null where undefined
    scored_frames: int  # valid labels with a prediction, of their own or repeated
    repeated: int  # of these, with the prediction of another frame
    left_out: int  # valid labels behind the last prediction that are not scored
    unlabelled: int  # predictions without a label
    interpolated: int | None  # frames of the track between predictions of a member; null: it is no ensemble's
    longest_gap_s: float  # over which predictions are repeated, or interpolated by a member
    answered_by: tuple[str, ...]  # members; empty: it is no ensemble's


@dataclass(frozen=True, kw_only=True)
class ProtocolLine:
    """One of the 32 differences between papers and code, and what ran."""

    number: int
    item: str
    option: str
    paper: str
    code: str
    ours: str
    authors: str
    acts_in: tuple[str, ...]  # parts of the systems that use it; empty: it is told alone
    reason: str  # why it is told alone; empty where it acts
    ran: Mapping[str, Any]  # value -> names of the predictions that were made by it; empty: not recorded


def describe_outputs(task: FrameLabelTask, model: ScoredModel) -> list[ReportedOutput]:
    """Return a row for each output of a model."""
    merged_DS = model.merged(task)
    rows = []
    for number, name in enumerate(task.classes):
        scored = model.scores[name]
        details = _moments_of(merged_DS[number]) if task.name == "va" else _counts_of(task, merged_DS, number)
        rows.append(
            ReportedOutput(
                name=name,
                score=scored.score.value,
                low=scored.interval.low,
                high=scored.interval.high,
                interval=scored.interval.reason,
                **details,
            )
        )
    return rows


def _moments_of(moments_S: Floats) -> dict[str, Any]:
    frames, mean_t, mean_p, squares_t, squares_p, products = map(float, moments_S[:6])
    if not frames:
        return {}
    spread = (squares_t * squares_p) ** 0.5
    bias = mean_p - mean_t
    return {
        "correlation": products / spread if spread else None,
        "bias": bias,
        "rmse": (max(0.0, squares_t + squares_p - 2 * products) / frames + bias**2) ** 0.5,
        "true_frames": int(frames),
    }


def _counts_of(task: FrameLabelTask, merged_DS: Floats, number: int) -> dict[str, Any]:
    if task.name == "au":
        hits, false, missed = (int(value) for value in merged_DS[number, :3])
    else:
        hits = int(merged_DS[number, number])
        false, missed = int(merged_DS[:, number].sum()) - hits, int(merged_DS[number].sum()) - hits
    return {
        "precision": hits / (hits + false) if hits + false else None,
        "recall": hits / (hits + missed) if hits + missed else None,
        "true_frames": hits + missed,
        "predicted_frames": hits + false,
    }


def describe_confusion(task: FrameLabelTask, model: ScoredModel) -> list[list[int]] | None:
    """Return the confusion matrix of expressions, rows by truth; None of other tasks."""
    return model.merged(task).astype(np.int64).tolist() if task.name == "expr" else None


def describe_videos(task: FrameLabelTask, model: ScoredModel, record: EnsembleRecord | None) -> list[ReportedVideo]:
    """Return a row for each video of a model."""
    known = {(each.source, each.video, each.person): each for each in record.videos} if record is not None else {}
    rows = []
    for statistics_DS, (subject, video) in zip(model.statistics_UDS, model.videos.items(), strict=True):
        answered = known.get((subject.source, subject.video_id, subject.person))
        rows.append(
            ReportedVideo(
                source=subject.source,
                video=subject.video_id,
                person=subject.person,
                split=video.labels.split,
                scene=answered.scene if answered is not None else video.labels.scene,
                score=score_statistics(task, statistics_DS)[MEAN].value,
                scored_frames=count_valid(task, statistics_DS),
                repeated=video.repeated,
                left_out=video.left_out,
                unlabelled=video.unlabelled,
                interpolated=None if answered is None else answered.interpolated,
                longest_gap_s=max(video.longest_gap_s, 0.0 if answered is None else answered.longest_gap_s),
                answered_by=() if answered is None else answered.members,
            )
        )
    return rows


def list_protocol(record: EnsembleRecord | None, sets: Sequence[PredictionSet]) -> list[ProtocolLine]:
    """Return all 32 items with the values that ran, and for which predictions, as far as these record them."""
    recorded = {each.name: _options_of(each.settings) for each in sets}
    if record is not None:
        used = _options_of_ensemble(record)
        recorded[record.name] = {name: record.protocol[name] for name in used if name in record.protocol}
    lines = []
    for difference in list_differences(ProtocolOptions()):
        ran: dict[str, list[str]] = {}
        for name, options in recorded.items():
            if difference.option in options:
                ran.setdefault(str(options[difference.option]), []).append(name)
        lines.append(
            ProtocolLine(
                number=difference.source.number,
                item=difference.source.item,
                option=difference.option,
                paper=difference.source.paper,
                code=difference.source.code,
                ours=str(difference.ours),
                authors=str(difference.source.authors_value),
                acts_in=USED_BY.get(difference.option, ()),
                reason=TOLD_ALONE.get(difference.option, ""),
                ran=ran,
            )
        )
    return lines


def _options_of_ensemble(record: EnsembleRecord) -> list[str]:
    """Return the options that an ensemble made use of; training and extraction decide the others."""
    uses = {
        "smoothing_window": record.plan["smoothing"]["kind"] == "hamming" and record.width is None,
        "forest_score": record.plan["method"]["kind"] == "forest",
        "folds": record.plan["folds"] is not None,
    }
    return [name for name, used in uses.items() if used]


def _options_of(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that a model's settings hold as pairs in JSON, and that such a model uses; none without."""
    text = settings.get("protocol")
    try:
        pairs = json.loads(text) if isinstance(text, str) else []
        options = {str(name): value for name, value in pairs}
    except (ValueError, TypeError):
        return {}
    part = part_of_model(str(settings.get("model")))
    used = USED_BY if part is None else list_used_options(part, str(settings.get("task")))
    return {name: value for name, value in options.items() if name in used}


def list_score_rows(task: FrameLabelTask, models: Sequence[ScoredModel]) -> list[dict[str, Any]]:
    """Return a row of the table of scores for each model, in CCC or in percent F1."""
    rows = []
    for model in models:
        interval = model.scores[MEAN].interval
        ends = (interval.low, interval.high)
        rows.append(
            {
                "name": model.name,
                "cells": [format_score(task, model.scores[name].score.value) for name in (MEAN, *task.classes)],
                "interval": " to ".join(format_score(task, each) for each in ends)
                if None not in ends
                else interval.reason,
                "videos": len(model.videos),
                "frames": f"{model.frames(task):,}",
            }
        )
    return rows


def published_rows(task: FrameLabelTask) -> dict[str, list[dict[str, Any]]]:
    """Return the published rows by set: validation, test and folds, the best mean first."""
    sets: dict[str, list[dict[str, Any]]] = {"validation": [], "test": [], "folds": []}
    digits = 4 if task.name == "va" else 2
    for figure in sorted(published_scores(task), key=lambda each: -each.scores[MEAN]):
        cells = [
            f"{figure.scores[name]:.{digits}f}" if name in figure.scores else "–" for name in (MEAN, *task.classes)
        ]
        set_name = figure.set if figure.set in sets else "folds"
        title = figure.system if set_name != "folds" else f"{figure.system}, {figure.set}"
        source = f"{figure.paper}, {figure.table}"
        sets[set_name].append({"name": title, "cells": cells, "source": source, "note": figure.note})
    return sets


def format_score(task: FrameLabelTask, value: float | None) -> str:
    """Return a score as the papers print it: CCC, or F1 in percent."""
    if value is None:
        return "–"
    return f"{value:.4f}" if task.name == "va" else f"{100 * value:.2f}"


def as_json(rows: Sequence[Any]) -> list[dict[str, Any]]:
    """Return dataclasses as tables."""
    return [asdict(row) for row in rows]
