"""The report of a task: OUT/TASK.html, one file that needs no other, and OUT/TASK.json with the same numbers."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from avf_shards.errors import UserError
from avf_shards.pages.render import make_page_environment
from avf_shards.schema.versions import SCHEMA_VERSION, stamp
from avf_shards.system import durable_io
from avf_shards.system.own_files import PAGE, json_table, require_replaceable

from avf_training.evaluation.intervals import MIN_UNITS
from avf_training.framewise.combination.fit_words import describe_fit
from avf_training.framewise.combination.record import EnsembleRecord
from avf_training.framewise.labels.label_track import LabelTrack
from avf_training.framewise.labels.tasks import FrameLabelTask
from avf_training.framewise.predictions.frame_statistics import MEAN
from avf_training.framewise.predictions.prediction_set import PredictionSet
from avf_training.framewise.predictions.truth_join import BehindLast
from avf_training.framewise.report.curves import FrameChart, chart_video
from avf_training.framewise.report.model_notes import describe_missing
from avf_training.framewise.report.score_table import ReportedModel, score_models
from avf_training.framewise.report.scored_model import ScoredModel
from avf_training.framewise.report.tables import (
    ProtocolLine,
    ReportedOutput,
    ReportedVideo,
    describe_confusion,
    describe_outputs,
    describe_videos,
    format_score,
    list_protocol,
    list_score_rows,
    published_rows,
)
from avf_training.framewise.report.video_choice import (
    ChosenVideos,
    ReportedTraining,
    choose_test_videos,
    choose_videos,
)
from avf_training.framewise.tracks.identity import TrackSubject

_NUMBERS = json_table("the numbers of a report", ("task", "behind_last", "protocol", SCHEMA_VERSION))
MOST_CURVES = 24  # videos that are drawn where none is named


@dataclass(frozen=True, kw_only=True)
class FrameReport:
    """The numbers of the page."""

    task: str
    name: str  # of the predictions that are reported
    chosen: str  # which videos are scored, in words
    trained_on: (
        int | None
    )  # of these, videos that the model, or each member that answers, was trained on; null: unknown
    learned: tuple[str, ...]  # videos that are not scored, as the model, or members that answer, were trained on them
    fit: tuple[
        str, ...
    ]  # sentences on what an ensemble chose and fitted on the scored videos; empty: it is no ensemble
    notes: tuple[str, ...]  # sentences on models and videos that are not scored
    behind_last: str  # labels behind the last prediction: repeat or leave_out
    models: tuple[ReportedModel, ...]  # the reported one first
    test_models: tuple[ReportedModel, ...]  # likewise on the test set, where no set is named; empty: it has no video
    test_chosen: str  # which videos of the test set are scored, in words; empty: a set is named, or it has no video
    test_fit: tuple[str, ...]  # as `fit`, of the test set
    test_notes: tuple[str, ...]  # as `notes`, of the test set
    outputs: tuple[ReportedOutput, ...]  # of the reported model
    confusion: list[list[int]] | None  # of expressions, rows by truth
    videos: tuple[ReportedVideo, ...]  # of the reported model
    without_predictions: tuple[str, ...]  # labelled persons of videos that it has no prediction of
    without_labels: tuple[str, ...]  # persons of videos that it predicts and nobody labelled
    protocol: tuple[ProtocolLine, ...]  # all 32 items


@dataclass(frozen=True, kw_only=True)
class ReportInputs:
    """What a report is made of."""

    task: FrameLabelTask
    sets: Sequence[PredictionSet]  # the reported one first, then others to compare with
    labels: Mapping[TrackSubject, LabelTrack]
    record: EnsembleRecord | None  # of the reported predictions, where they are an ensemble's
    split: str | None = None  # set of the owners, or all; None: what is new to the model, as far as that is known
    absent: Sequence[str] = ()  # members of the ensemble without a folder of predictions
    curves: Sequence[str] = ()  # video ids to draw; empty: evenly spread over the scores


def write_frame_report(inputs: ReportInputs, out: Path) -> tuple[FrameReport, Path]:
    """Write the page and its numbers, and return the numbers and the path of the page.

    Raises UserError where no video can be scored, a video to draw is not among them, or other files are in the way.
    """
    task, main = inputs.task, inputs.sets[0]
    require_replaceable(out / f"{task.name}.json", _NUMBERS)
    require_replaceable(out / f"{task.name}.html", PAGE)
    training = ReportedTraining(record=inputs.record, trained=main.trained)
    chosen = choose_videos(inputs.labels, main.tracks.keys(), training, inputs.split)
    by_authors = inputs.record is not None and inputs.record.plan.get("protocol") == "authors_code"
    # In development alone: a submission for the test set has a row for every frame.
    behind_last: BehindLast = "leave_out" if by_authors and inputs.split != "test" else "repeat"
    score = partial(score_models, inputs.sets, inputs.labels, inputs.record, new_alone=inputs.split is None)
    table = score(chosen=chosen.subjects, behind_last=behind_last)
    tested = choose_test_videos(inputs.labels, main.tracks.keys(), training, inputs.split)
    test_table = score(chosen=tested.subjects, behind_last="repeat")
    models, test_models = table.models, test_table.models
    report = FrameReport(
        task=task.name,
        name=main.name,
        chosen=chosen.words,
        trained_on=training.count_trained(chosen.subjects),
        learned=tuple(map(str, chosen.learned)),
        fit=_describe_fit(inputs, chosen),
        notes=(*table.notes, *_describe_absent(inputs), *describe_missing(main, inputs.labels, inputs.record)),
        test_chosen=tested.words,
        test_fit=_describe_fit(inputs, tested),
        test_notes=test_table.notes,
        behind_last=behind_last,
        models=table.describe(task),
        test_models=test_table.describe(task),
        outputs=tuple(describe_outputs(task, models[0])),
        confusion=describe_confusion(task, models[0]),
        videos=tuple(describe_videos(task, models[0], inputs.record)),
        without_predictions=tuple(str(each) for each in inputs.labels if each not in main.tracks),
        without_labels=tuple(str(each) for each in main.tracks if each not in inputs.labels),
        protocol=tuple(list_protocol(inputs.record, inputs.sets)),
    )
    page = _render(inputs, report, models, test_models)
    durable_io.make_folder(out)
    text = json.dumps(stamp(asdict(report), "frame report"), indent=1, sort_keys=True, allow_nan=False)
    durable_io.replace_file(out / f"{task.name}.json", (text + "\n").encode())
    durable_io.replace_file(out / f"{task.name}.html", page.encode())
    return report, out / f"{task.name}.html"


def _describe_fit(inputs: ReportInputs, chosen: ChosenVideos) -> tuple[str, ...]:
    return () if inputs.record is None or not chosen.subjects else tuple(describe_fit(inputs.record, chosen.subjects))


def _describe_absent(inputs: ReportInputs) -> list[str]:
    return [f"{name} does not stand in the table: its predictions are not in the folder" for name in inputs.absent]


def _render(
    inputs: ReportInputs, report: FrameReport, models: Sequence[ScoredModel], test_models: Sequence[ScoredModel]
) -> str:
    task = inputs.task
    environment = make_page_environment(Path(__file__).parent / "templates")
    environment.filters["score"] = lambda value: format_score(task, value)
    filled = {
        name: sum(getattr(video, name) for video in report.videos)
        for name in ("scored_frames", "repeated", "left_out", "unlabelled")
    }
    return environment.get_template("frames.html").render(
        report=report,
        chosen=count_chosen(len(report.videos), report.chosen),
        task=task,
        record=inputs.record,
        columns=["mean", *task.classes],
        rows=list_score_rows(task, models),
        test_rows=list_score_rows(task, test_models),
        published=published_rows(task),
        confusion=_shaded(report.confusion),
        width=_describe_width(inputs.record),
        widths=sorted(inputs.record.width_scores.items(), key=lambda pair: float(pair[0])) if inputs.record else [],
        filled=filled,
        longest=max(report.videos, key=lambda video: video.longest_gap_s),
        interpolated=None if inputs.record is None else sum(video.interpolated or 0 for video in report.videos),
        curves=_draw_curves(inputs, report, models, test_models),
        min_units=MIN_UNITS,
    )


def _describe_width(record: EnsembleRecord | None) -> str:
    """Return the width of an ensemble's smoothing in words."""
    if record is None or record.width is None:
        return "half a second by the protocol"
    return f"sigma {record.width:g} frames" if record.width_unit == "sigma_frames" else f"{record.width:g} s"


def _shaded(confusion: list[list[int]] | None) -> list[list[dict[str, Any]]]:
    """Return each cell with its count and its share of the true class in percent."""
    return [
        [{"count": count, "percent": round(100 * count / max(1, sum(row)))} for count in row] for row in confusion or []
    ]


def _draw_curves(
    inputs: ReportInputs, report: FrameReport, models: Sequence[ScoredModel], test_models: Sequence[ScoredModel]
) -> list[dict[str, Any]]:
    """Return the charts of each video that is drawn, and its row; those of the test set are drawn where named."""
    rows = [*report.videos]
    if inputs.curves and test_models:
        rows += describe_videos(inputs.task, test_models[0], inputs.record)
        models = [*models, *test_models]
    subjects = {TrackSubject(source=each.source, video_id=each.video, person=each.person): each for each in rows}
    drawn = []
    for subject in _choose_curves(list(subjects), [each.score for each in subjects.values()], inputs.curves):
        videos = {model.name: model.videos[subject] for model in models if subject in model.videos}
        charts: list[FrameChart] = chart_video(inputs.task, videos)
        drawn.append({"title": str(subject), "video": subjects[subject], "charts": charts})
    return drawn


def _choose_curves(
    subjects: Sequence[TrackSubject], scores: Sequence[float | None], named: Sequence[str]
) -> list[TrackSubject]:
    """Return the videos to draw: those named, or from the worst to the best evenly spread."""
    unknown = sorted(set(named) - {subject.video_id for subject in subjects})
    if unknown:
        raise UserError(f"--video {unknown[0]}: is not among the scored videos; they are in the table of the page")
    if named:
        return [subject for subject in subjects if subject.video_id in named]
    order = sorted(range(len(subjects)), key=lambda row: (scores[row] is None, scores[row] or 0.0))
    count = min(MOST_CURVES, len(order))
    spread = [order[number * (len(order) - 1) // max(1, count - 1)] for number in range(count)]
    return [subjects[row] for row in spread]


def summarize(report: FrameReport, task: FrameLabelTask) -> list[str]:
    """Return the lines that the command prints."""
    lines = [_describe_chosen(report), f"{'':<24}{'videos':>8}{'frames':>12}{task.metric:>12}"]
    lines += [_summarize_model(model, task) for model in report.models]
    lines += [f"  {sentence}" for sentence in (*report.fit, *report.notes)]
    if report.test_chosen:
        lines.append(f"the test set: {report.test_chosen}")
        lines += [_summarize_model(model, task) for model in report.test_models]
        lines += [f"  {sentence}" for sentence in (*report.test_fit, *report.test_notes)]
    return lines


def _describe_chosen(report: FrameReport) -> str:
    """Return which set is scored, and how many of its videos the model was trained on."""
    trained = ""
    if report.trained_on is None:
        trained = "; its predictions do not say which videos the model was trained on"
    elif not report.trained_on and not report.learned:
        whom = "members that answer were" if report.fit else "model was"
        trained = f"; the {whom} trained on none of them"
    return f"{report.name} on {count_chosen(len(report.videos), report.chosen)}{trained}"


def count_chosen(videos: int, chosen: str) -> str:
    """Return which videos are scored, with their number."""
    if videos == 1:
        return f"1 {chosen.removeprefix('all ').replace('labelled videos', 'labelled video', 1)}"
    every = "all " if chosen.startswith("all ") else ""
    return f"{every}{videos:,} {chosen.removeprefix('all ')}"


def _summarize_model(model: ReportedModel, task: FrameLabelTask) -> str:
    return f"{model.name:<24}{model.videos:>8}{model.frames:>12,}{format_score(task, model.scores[MEAN]):>12}"
