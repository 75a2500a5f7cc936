"""Which videos a report scores, in words, and which it leaves out because a model was trained on them."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from avf_shards.errors import UserError
from avf_shards.text import count_noun

from avf_training.framewise.combination.record import EnsembleRecord
from avf_training.framewise.labels.label_track import LabelTrack, SplitName
from avf_training.framewise.labels.trained_videos import TrainedVideos, split_trained
from avf_training.framewise.tracks.identity import TrackSubject, name_some

LabelsOfVideos = Mapping[TrackSubject, LabelTrack]


@dataclass(frozen=True, kw_only=True)
class ChosenVideos:
    """The videos of a table of scores."""

    words: str  # which these are
    subjects: tuple[TrackSubject, ...]
    learned: tuple[TrackSubject, ...] = ()  # left out, as the reported model was trained on them


@dataclass(frozen=True, kw_only=True)
class ReportedTraining:
    """What is known of the training of the model that is reported."""

    record: EnsembleRecord | None  # of the ensemble; None: it is a single model
    trained: TrainedVideos | None  # what it was trained on, as its predictions say; None: they do not

    @property
    def whom(self) -> str:
        """Return who was trained on a video that counts as learned, in words."""
        return "the model" if self.record is None else self.record.learners

    def count_trained(self, chosen: Collection[TrackSubject]) -> int | None:
        """Return how many videos the model, or the members that answer, were trained on; None where nothing says it."""
        if self.trained is not None:
            return len(split_trained(self.trained, chosen)[0])
        if self.record is None:
            return None
        # Ensembles of earlier versions: what was not labelled when they were written was not scored either.
        seen = {each.subject for each in self.record.videos if not each.scored and each.split is not None}
        return len(seen & {*chosen})

    def describe_related(self, labels: LabelsOfVideos, chosen: Collection[TrackSubject]) -> str:
        """Return of how many videos another one of the same person or file was learned; the empty text for none."""
        if self.record is not None:
            related = len({each.subject for each in self.record.videos if each.related} & {*chosen})
            who = "a member that answers"
        else:
            related, who = count_related(self.trained, labels, chosen), "the model"
        return f"; of {related}, {who} was trained on another of the same person or file" if related else ""


def count_related(trained: TrainedVideos | None, labels: LabelsOfVideos, chosen: Collection[TrackSubject]) -> int:
    """Return how many videos are of a person or file of which a model was trained on another video."""
    return 0 if trained is None else sum(trained.related(subject, labels[subject]) for subject in chosen)


def choose_videos(
    labels: LabelsOfVideos, predicted: Collection[TrackSubject], training: ReportedTraining, split: str | None
) -> ChosenVideos:
    """Return which videos are scored.

    Args:
        labels: of every labelled person of a video.
        predicted: those with predictions.
        training: of the model that is reported.
        split: set of the owners, or `all`; None: those that the record scores and that are not of the set test, or
            the validation set, or all where the labels name no sets, without those that the model was trained on.

    Raises UserError where there is none.
    """
    subjects = sorted(set(labels) & set(predicted))
    if not subjects:
        raise UserError("no video has labels and predictions; name labels of the same corpus")
    if split is not None:
        words, chosen = _choose_named(labels, subjects, training, split)
        learned: list[TrackSubject] = []
    else:
        choose = _choose_new if training.record is None else _choose_scored
        words, chosen, learned = choose(labels, subjects, training)
    words += training.describe_related(labels, chosen)
    return ChosenVideos(words=words, subjects=tuple(chosen), learned=tuple(learned))


def choose_test_videos(
    labels: LabelsOfVideos, predicted: Collection[TrackSubject], training: ReportedTraining, split: str | None
) -> ChosenVideos:
    """Return the predicted videos of the test set that are new to the model, which stand apart.

    None where a set is named. The words say which are left out; they are empty where the test set has no prediction.
    """
    tested = [each for each in sorted(set(labels) & set(predicted)) if labels[each].split == "test"]
    if split is not None or not tested:
        return ChosenVideos(words="", subjects=())
    learned, chosen = split_trained(training.trained, tested)
    words = f"{len(chosen)} of {count_noun(len(tested), 'labelled video')}"
    if learned:
        words += f", without {len(learned)} that {training.whom} was trained on ({name_some(learned)})"
    words += training.describe_related(labels, chosen)
    return ChosenVideos(words=words, subjects=tuple(chosen), learned=tuple(learned))


def _choose_named(
    labels: LabelsOfVideos, subjects: Sequence[TrackSubject], training: ReportedTraining, split: str
) -> tuple[str, list[TrackSubject]]:
    chosen = [*subjects] if split == "all" else [each for each in subjects if labels[each].split == split]
    if not chosen:
        sets = sorted({str(labels[subject].split or "none") for subject in subjects})
        raise UserError(f"--split {split}: no video of this set has predictions; there are videos of {', '.join(sets)}")
    count = training.count_trained(chosen)
    known = f", {count} of which {training.whom} was trained on" if count else ""
    if split == "all":
        return f"all labelled videos ({count_sets(labels, chosen)}{known})", chosen
    return f"labelled videos of the {split} set{known}", chosen


def _choose_scored(
    labels: LabelsOfVideos, subjects: Sequence[TrackSubject], training: ReportedTraining
) -> tuple[str, list[TrackSubject], list[TrackSubject]]:
    """Return the videos that an ensemble scores, without those of the test set."""
    record = training.record
    assert record is not None
    scored = {each.subject for each in record.videos if each.scored}
    development = [subject for subject in subjects if labels[subject].split != "test"]
    chosen = [subject for subject in development if subject in scored]
    if not chosen:
        raise UserError(
            f"{record.name}: every labelled video was seen in training, is of the set test, or had no labels when "
            "ensemble-frames ran; name a set with --split, or run ensemble-frames again with --labels"
        )
    words = "labelled videos that are new to the members that answer them, without those of the test set"
    learned, _ = split_trained(training.trained, development)
    if learned:
        words += f" and without {len(learned)} that {training.whom} was trained on"
    return words, chosen, learned


def _choose_new(
    labels: LabelsOfVideos, subjects: Sequence[TrackSubject], training: ReportedTraining
) -> tuple[str, list[TrackSubject], list[TrackSubject]]:
    """Return the videos of the validation set, or of all where there are no sets, that are new to a single model."""
    words, chosen = f"all labelled videos ({count_sets(labels, subjects)})", list(subjects)
    if any(labels[subject].split is not None for subject in subjects):
        words = "labelled videos of the validation set"
        chosen = [subject for subject in subjects if labels[subject].split == "validation"]
        if not chosen:
            sets = sorted({str(labels[subject].split or "none") for subject in subjects})
            raise UserError(
                f"no video of the validation set has predictions; there are videos of {', '.join(sets)}; name a set "
                "with --split"
            )
    learned, chosen = split_trained(training.trained, chosen)
    if not chosen:
        raise UserError(f"the model was trained on all {words}, as its predictions say; name a set with --split")
    if learned:
        words += f", without {len(learned)} that the model was trained on"
    return words, chosen, learned


def count_sets(labels: LabelsOfVideos, subjects: Collection[TrackSubject]) -> str:
    """Return how many videos are of each set, in words."""
    counts = Counter(labels[subject].split for subject in subjects)
    words = [f"{counts[name]} of the {name} set" for name in get_args(SplitName) if counts[name]]
    return ", ".join([*words, *([f"{counts[None]} of no set"] if counts[None] else [])])
