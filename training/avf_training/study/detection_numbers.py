"""The numbers of the page of a detector: scores with intervals, kinds of forgery, calibration, segments, files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from avf_shards.errors import UserError
from avf_shards.schema.forgery import Forgery

from avf_training.config.finetune import SelectionProtocol
from avf_training.evaluation.bootstrap import bootstrap_intervals
from avf_training.evaluation.detection_metrics import (
    FakeBin,
    KindScores,
    calibration_metrics,
    fake_bins,
    score_kinds,
)
from avf_training.evaluation.localisation import (
    OVERLAPS,
    SegmentProposal,
    SegmentTimes,
    average_precision,
    average_recall,
)
from avf_training.evaluation.metrics import confusion, uar, war
from avf_training.evaluation.results import PREDICTIONS, read_predictions
from avf_training.evaluation.roc_curve import RocCurve, describe_missing_class, trace_roc
from avf_training.evaluation.scoring import Predictions, TimedScore
from avf_training.finetuning.finetune import load_best_model
from avf_training.finetuning.reevaluate import load_run
from avf_training.models.pooling import Pool
from avf_training.models.saved_config import read_saved_config
from avf_training.tasks.labelled_shards import LabelledClip, LabelledShards

UNKNOWN = "not published"
_THRESHOLDS = tuple(number / 10 for number in range(1, 10))  # of runs of windows that are proposed as segments
_PROPOSALS = 50


@dataclass(frozen=True, kw_only=True)
class DetectionScore:
    """One metric of the files."""

    name: str
    value: float
    low: float | None  # of the 95 % interval over originals; null: there is none
    high: float | None
    no_interval: str  # why there is none; empty where there is one


@dataclass(frozen=True, kw_only=True)
class FileLine:
    """A file of the test."""

    file: str
    original: str
    fake: bool
    kind: str  # audio, video or both; none of a real
    method: str
    score: float  # probability of a fake


@dataclass(frozen=True, kw_only=True)
class DetectionReport:
    """The numbers of the page."""

    task: str
    protocol: str  # by which the epoch was selected
    pool: Pool  # of windows
    hop_s: float
    reals: int
    fakes: int
    originals: int
    scores: tuple[DetectionScore, ...]
    kinds: tuple[KindScores, ...]  # audio, video, both
    methods: tuple[KindScores, ...]
    bins: tuple[FakeBin, ...]
    segments: Mapping[str, float | None]  # AP at overlaps and AR of runs of windows; empty: no times are published
    files: tuple[FileLine, ...]  # by name
    unreadable: tuple[str, ...]  # keys of clips


@dataclass(frozen=True, kw_only=True)
class DetectorResult:
    """What the page is made of."""

    report: DetectionReport
    curve: RocCurve
    clips: Mapping[str, LabelledClip]  # of each key with windows
    windows: Mapping[str, tuple[TimedScore, ...]]
    window_s: float


def read_detector(run: Path, shards: LabelledShards, protocol: SelectionProtocol) -> DetectorResult:
    """Return the test of a finished run of detection.

    Raises UserError for a run of another task, for other shards than it was trained on, and where only reals or only
    fakes were tested.
    """
    recipe, task = load_run(run, shards)
    if task.data.task != "detection":
        raise UserError(f"{run}: has learned {', '.join(task.data.labels or task.data.dimensions)}, not real and fake")
    predictions = read_predictions(run / PREDICTIONS / f"{protocol}.json")
    truth, scores = predictions.truth.astype(int).tolist(), predictions.scores_NJ[:, 1].tolist()
    curve = trace_roc(truth, scores)
    if curve is None:
        raise UserError(
            f"{run}: {describe_missing_class(truth)} among its test clips, and a detector is scored by both; test on "
            "a fold that has them"
        )
    clips = {clip.key: clip for clip in shards.clips() if clip.key in predictions.windows}
    forgery_of = {clip.video_id: truth_of_clip(clip) for clip in clips.values()}
    forgeries = [forgery_of[file] for file in predictions.keys]
    config = read_saved_config(load_best_model(run, protocol))
    window_s = recipe.model_config().geometry.frames * 4 / 25
    report = DetectionReport(
        task=task.name,
        protocol=protocol,
        pool=config.get("output_spec", {}).get("pool", "mean"),
        hop_s=recipe.hop_s,
        reals=truth.count(0),
        fakes=truth.count(1),
        originals=len({forgery.original for forgery in forgeries}),
        scores=_score_files(truth, scores, curve, [forgery.original for forgery in forgeries]),
        kinds=tuple(score_kinds(truth, scores, [forgery.kind or UNKNOWN for forgery in forgeries])),
        methods=tuple(score_kinds(truth, scores, [forgery.method or UNKNOWN for forgery in forgeries])),
        bins=tuple(fake_bins(truth, scores)),
        segments=_score_segments(clips, predictions, window_s),
        files=tuple(
            _describe_file(file, forgery, score)
            for file, forgery, score in zip(predictions.keys, forgeries, scores, strict=True)
        ),
        unreadable=predictions.unreadable,
    )
    return DetectorResult(report=report, curve=curve, clips=clips, windows=predictions.windows, window_s=window_s)


def truth_of_clip(clip: LabelledClip) -> Forgery:
    """Return what the record of a clip says of its truth; a task of detection has refused those that say nothing."""
    assert clip.labels is not None
    assert clip.labels.forgery is not None
    return clip.labels.forgery


def propose_segments(windows: Sequence[TimedScore], window_s: float) -> list[SegmentProposal]:
    """Return runs of windows above each of nine thresholds as proposals, the highest mean score first.

    A window stands for its middle, half a hop to each side: windows are longer than most forgeries.
    """
    edges = [0.0, *((a.start_s + b.start_s + window_s) / 2 for a, b in zip(windows, windows[1:], strict=False))]
    edges.append(windows[-1].start_s + window_s)
    proposals: set[SegmentProposal] = set()
    for threshold in _THRESHOLDS:
        run: list[int] = []
        for number in range(len(windows) + 1):
            if number < len(windows) and windows[number].score >= threshold:
                run.append(number)
            elif run:
                mean = sum(windows[each].score for each in run) / len(run)
                proposals.add((mean, edges[run[0]], edges[run[-1] + 1]))
                run = []
    return sorted(proposals, key=lambda proposal: -proposal[0])


def _score_files(
    truth: Sequence[int], scores: Sequence[float], curve: RocCurve, originals: Sequence[str]
) -> tuple[DetectionScore, ...]:
    intervals = bootstrap_intervals(truth, scores, originals)
    counts_CC = confusion(truth, [int(score > 0.5) for score in scores], 2)
    plain = {name: each.value for name, each in calibration_metrics(truth, scores).items()}
    plain |= {"UAR": uar(counts_CC).value, "WAR": war(counts_CC).value}
    lines = [
        DetectionScore(
            name=name,
            value=value,
            low=intervals[name].low,
            high=intervals[name].high,
            no_interval=intervals[name].reason,
        )
        for name, value in curve.numbers().items()
    ]
    return (
        *lines,
        *(
            DetectionScore(name=name, value=value, low=None, high=None, no_interval="not computed")
            for name, value in plain.items()
            if value is not None
        ),
    )


def _score_segments(
    clips: Mapping[str, LabelledClip], predictions: Predictions, window_s: float
) -> dict[str, float | None]:
    """Return AP and AR of proposed segments; nothing where a fake has no published times."""
    truths = {key: truth_of_clip(clip) for key, clip in clips.items()}
    if any(truth.segments is None for truth in truths.values()):
        return {}
    segments: dict[str, list[SegmentTimes]] = {
        key: [(each.start_s, each.stop_s) for each in truth.segments or ()] for key, truth in truths.items()
    }
    proposals = {key: propose_segments(predictions.windows[key], window_s) for key in clips}
    values = {f"AP at {overlap:g}": average_precision(proposals, segments, overlap) for overlap in OVERLAPS}
    return values | {f"AR of {_PROPOSALS}": average_recall(proposals, segments, _PROPOSALS)}


def _describe_file(file: str, forgery: Forgery, score: float) -> FileLine:
    return FileLine(
        file=file,
        original=forgery.original,
        fake=forgery.is_fake,
        kind=forgery.kind or (UNKNOWN if forgery.is_fake else "none"),
        method=forgery.method or (UNKNOWN if forgery.is_fake else "none"),
        score=score,
    )
