"""A table of scores: the reported model and those that stand beside it, on the same videos."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from avf_training.framewise.combination.record import EnsembleRecord
from avf_training.framewise.labels.tasks import FrameLabelTask
from avf_training.framewise.predictions.prediction_set import PredictionSet
from avf_training.framewise.predictions.truth_join import BehindLast
from avf_training.framewise.report.model_notes import ModelVideos, select_videos
from avf_training.framewise.report.scored_model import ScoredModel, score_model
from avf_training.framewise.report.video_choice import LabelsOfVideos
from avf_training.framewise.tracks.identity import TrackSubject


@dataclass(frozen=True, kw_only=True)
class ReportedModel:
    """A row of the table of scores."""

    name: str
    digest: str  # of the model
    videos: int  # that it is scored on
    trained_on: int | None  # of these, videos that it was trained on; null: its predictions do not say it
    related: int  # of these, videos of a person or file of which it was trained on another one
    frames: int  # valid labels that the scores are of
    scores: Mapping[str, Any]  # output or mean -> CCC or F1; null where undefined
    intervals: Mapping[str, Any]  # output or mean -> ends of the 95 % interval over people; null where there is none


@dataclass(frozen=True, kw_only=True)
class ScoreTable:
    """The models of a table, the reported one first."""

    models: tuple[ScoredModel, ...]
    videos: tuple[ModelVideos, ...]  # of these models
    notes: tuple[str, ...]  # on what the others are not scored on

    def describe(self, task: FrameLabelTask) -> tuple[ReportedModel, ...]:
        """Return the rows of the table."""
        return tuple(
            ReportedModel(
                name=model.name,
                digest=model.digest,
                videos=len(model.videos),
                trained_on=videos.trained_on,
                related=videos.related,
                frames=model.frames(task),
                scores={name: scored.score.value for name, scored in model.scores.items()},
                intervals={name: scored.interval.as_list() for name, scored in model.scores.items()},
            )
            for model, videos in zip(self.models, self.videos, strict=True)
        )


def score_models(
    sets: Sequence[PredictionSet],
    labels: LabelsOfVideos,
    record: EnsembleRecord | None,
    *,
    chosen: Sequence[TrackSubject],
    behind_last: BehindLast,
    new_alone: bool,
) -> ScoreTable:
    """Return the scores of models on the chosen videos, and say of each that has none why.

    Args:
        sets: predictions, those of the reported model first.
        labels: of the videos.
        record: of the reported ensemble; None: it is a single model.
        chosen: videos of the table; empty: the table has no model.
        behind_last: what becomes of labels behind the last prediction.
        new_alone: videos that a model was trained on are left out.
    """
    models, of_models, notes = [], [], []
    for each in sets if chosen else ():
        is_main = each is sets[0]
        videos = select_videos(each, labels, chosen, None if is_main else record, new_alone=new_alone)
        if not is_main:  # the words of the choice say it of the reported one
            notes += videos.describe()
        scored = score_model(each, labels, videos.scored, behind_last)
        if scored is not None:
            models.append(scored)
            of_models.append(videos)
    return ScoreTable(models=tuple(models), videos=tuple(of_models), notes=tuple(notes))
