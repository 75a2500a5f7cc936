"""Which of the chosen videos each model is scored on, and sentences on those that it is not, so that none vanishes."""

from collections.abc import Sequence
from dataclasses import dataclass

from avf_shards.text import count_noun

from avf_training.framewise.combination.record import EnsembleRecord
from avf_training.framewise.labels.trained_videos import split_trained
from avf_training.framewise.predictions.prediction_set import PredictionSet
from avf_training.framewise.report.video_choice import LabelsOfVideos, count_related, count_sets
from avf_training.framewise.tracks.identity import TrackSubject, name_some


@dataclass(frozen=True, kw_only=True)
class ModelVideos:
    """What becomes of the chosen videos for one model."""

    name: str
    chosen: int  # videos of the table
    scored: tuple[TrackSubject, ...]
    unanswered: tuple[TrackSubject, ...]  # that it does not answer as a member of the ensemble
    learned: tuple[TrackSubject, ...]  # that it was trained on, and is not scored on
    missing: tuple[TrackSubject, ...]  # that it has no predictions of
    trained_on: int | None  # scored videos that it was trained on; None: its predictions do not say it
    related: int  # scored videos of a person or file of which it was trained on another one

    def describe(self) -> list[str]:
        """Return a sentence on what is not scored, and one on what was learned, where there is any."""
        reasons = [
            f"{words} {name_some(subjects)}"
            for words, subjects in (
                ("it does not answer", self.unanswered),
                ("it was trained on", self.learned),
                ("it has no predictions of", self.missing),
            )
            if subjects
        ]
        sentences = []
        if reasons and not self.scored:
            sentences.append(f"{self.name} does not stand in the table: {'; '.join(reasons)}")
        elif reasons:
            sentences.append(
                f"{self.name} is scored on {len(self.scored)} of {self.chosen} videos: {'; '.join(reasons)}"
            )
        if self.trained_on:
            sentences.append(f"{self.name} was trained on {self.trained_on} of the videos that it is scored on")
        if self.related:
            videos = count_noun(self.related, "video")
            sentences.append(f"{self.name} was trained on another video of the same person or file as {videos} here")
        return sentences


def select_videos(
    model: PredictionSet,
    labels: LabelsOfVideos,
    chosen: Sequence[TrackSubject],
    record: EnsembleRecord | None,
    *,
    new_alone: bool,
) -> ModelVideos:
    """Return the chosen videos that a model is scored on: those that it has predictions of, and answers as a member.

    Args:
        model: its predictions.
        labels: of the videos.
        chosen: videos of the table.
        record: of the ensemble that it may be a member of; None: none.
        new_alone: videos that it was trained on are left out.
    """
    unanswered: list[TrackSubject] = []
    if record is not None and model.name in {member.name for member in record.members}:
        answered = {each.subject for each in record.videos if model.name in each.members}
        unanswered = [subject for subject in chosen if subject not in answered]
    rest = [subject for subject in chosen if subject not in unanswered]
    learned, new = split_trained(model.trained, rest) if new_alone else ([], rest)
    scored = [subject for subject in new if subject in model.tracks]
    return ModelVideos(
        name=model.name,
        chosen=len(chosen),
        scored=tuple(scored),
        unanswered=tuple(unanswered),
        learned=tuple(learned),
        missing=tuple(subject for subject in new if subject not in model.tracks),
        trained_on=None if model.trained is None else len(split_trained(model.trained, scored)[0]),
        related=count_related(model.trained, labels, scored),
    )


def describe_missing(model: PredictionSet, labels: LabelsOfVideos, record: EnsembleRecord | None) -> list[str]:
    """Return sentences on labelled videos without predictions, and on answers that lack those of a member."""
    sentences = []
    missing = [subject for subject in labels if subject not in model.tracks]
    if missing:
        verb = "has" if len(missing) == 1 else "have"
        sets = count_sets(labels, missing)
        sentences.append(
            f"{count_noun(len(missing), 'labelled video')} {verb} no predictions, and no score ({sets}): "
            f"{name_some(missing)}"
        )
    lacking = [each for each in record.videos if each.missing] if record is not None else []
    if lacking:
        names = sorted({name for each in lacking for name in each.missing})
        verb = "is" if len(lacking) == 1 else "are"
        sentences.append(
            f"{count_noun(len(lacking), 'video')} {verb} answered without {', '.join(names)}, of which there are no "
            f"predictions: {name_some([each.subject for each in lacking])}"
        )
    return sentences
