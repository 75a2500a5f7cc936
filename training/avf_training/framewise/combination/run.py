"""An ensemble from its plan: who answers what, and how answers are smoothed, chosen, fitted and joined."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
from avf_shards.errors import UserError

from avf_training.evaluation.metrics import Floats
from avf_training.framewise.combination.alignment import AlignedVideo, align_tracks
from avf_training.framewise.combination.fitting import (
    Fitted,
    FittingRows,
    fit_forests,
    fit_weights,
)
from avf_training.framewise.combination.joining import join_answers, silence_uncertain_audio
from avf_training.framewise.combination.membership import (
    AnsweringMembers,
    VideoFacts,
    choose_members,
    gather_facts,
    has_seen,
)
from avf_training.framewise.combination.plan import FITTED_METHODS, EnsembleMember, EnsemblePlan
from avf_training.framewise.combination.smoothing_choice import WidthChoice, list_widths, smooth_likelihoods
from avf_training.framewise.ensemble.fold_table import read_fold_table
from avf_training.framewise.ensemble.scenes import read_scenes
from avf_training.framewise.metrics import WholeNumbers
from avf_training.framewise.predictions.frame_statistics import (
    MEAN,
    count_frames,
    merge_statistics,
    score_statistics,
)
from avf_training.framewise.predictions.prediction_set import read_prediction_set
from avf_training.framewise.predictions.truth_join import match_frames, read_labels
from avf_training.framewise.tracks.feature_track import FeatureTrack
from avf_training.framewise.tracks.frame_rates import check_same_rate

OnVideo = Callable[[str, int, int], None]
"""Function that is told what is done, the number of the video from 1, and the number of videos."""


@dataclass(frozen=True, kw_only=True)
class PlannedVideo:
    """A video with the members that answer it."""

    facts: VideoFacts
    answering: AnsweringMembers
    missing: tuple[str, ...]  # members without a prediction of it
    related: tuple[str, ...] = ()  # members that answer it and were trained on another video of its person or file

    @property
    def is_scored(self) -> bool:
        """Return whether its score says something: it is labelled, and new to the members."""
        return self.facts.labels is not None and not self.answering.seen

    @property
    def is_development(self) -> bool:
        """Return whether widths are chosen, and weights and forests fitted on it: a scored one not of the set test."""
        return self.is_scored and self.facts.split != "test"


class EnsembleRun:
    """A plan with its predictions and labels read."""

    def __init__(self, plan: EnsemblePlan, plan_folder: Path, predictions: Path, labels: Path | None) -> None:
        """Read everything and decide who answers what.

        Raises UserError or FaultError for what is missing or wrong, before anything is computed.
        """
        self.plan, self.task = plan, plan.label_task
        self.members = [read_prediction_set(predictions, member.name, self.task) for member in plan.members]
        truth = {} if labels is None else read_labels(labels, self.task)
        folds: Mapping[tuple[str, str, int], int] = {}
        if plan.folds is not None:
            table = read_fold_table(plan_folder / plan.folds)
            for member in plan.members:
                if member.fold is not None and member.fold > table.folds:
                    raise UserError(f"members: {member.name}: fold {member.fold}; {plan.folds} has {table.folds}")
            folds = table.fold_of()
        scenes = None if plan.scenes is None else read_scenes(plan_folder / plan.scenes)
        subjects = sorted({subject for member in self.members for subject in member.tracks})
        self.unpredicted = sorted(truth.keys() - {*subjects})  # labelled persons of videos that no member predicts
        facts = gather_facts(subjects, truth, folds, scenes)
        self.videos = [self._plan_video(each) for each in facts]
        self._refuse_what_cannot_be_chosen(labels)

    def _plan_video(self, facts: VideoFacts) -> PlannedVideo:
        available = [facts.subject in member.tracks for member in self.members]
        names = [member.name for member in self.members]
        missing = tuple(name for name, there in zip(names, available, strict=True) if not there)
        if missing and self._is_fitted:
            raise UserError(
                f"{facts.subject}: no predictions of {', '.join(missing)}, and the method {self.plan.method.kind} "
                "needs those of every member; predict it, or leave the member out"
            )
        trained = [member.trained for member in self.members]
        answering = choose_members(self.plan.members, available, facts, trained, all_answer=self._is_fitted)
        if not answering.positions:
            raise UserError(f"{facts.subject}: only members of the scene reaction have predictions of it")
        related = []
        for position in answering.positions:
            learned = trained[position]
            if learned is not None and learned.related(facts.subject, facts.labels):
                related.append(names[position])
        return PlannedVideo(facts=facts, answering=answering, missing=missing, related=tuple(related))

    @property
    def _is_fitted(self) -> bool:
        return self.plan.method.kind in FITTED_METHODS

    @cached_property
    def development(self) -> list[PlannedVideo]:
        """Return the videos that everything is chosen and fitted on: scored ones of validation and of folds."""
        return [video for video in self.videos if video.is_development]

    def _refuse_what_cannot_be_chosen(self, labels: Path | None) -> None:
        if len(list_widths(self.plan)[1]) > 1:
            purpose = "to choose the smoothing on; name sigma_frames or window_s"
        elif self._is_fitted:
            purpose = f"to fit {self.plan.method.kind} on"
        else:
            return
        if labels is None:
            raise UserError(f"--labels: missing, and the plan needs labels {purpose}")
        if not self.development:
            raise UserError(
                f"{labels}: no video outside the set test is labelled, predicted and new to "
                f"{'every' if self._is_fitted else 'a'} member, {purpose}{self._name_seen()}; label videos of the "
                "validation set, or name the folds"
            )

    def _name_seen(self) -> str:
        """Return a member and a video that it has learned, where a fitted method lacks it; else nothing."""
        for video in self.videos if self._is_fitted else ():
            facts = video.facts
            if facts.labels is None or facts.split in ("train", "test"):
                continue
            for member, predictions in zip(self.plan.members, self.members, strict=True):
                if has_seen(member, facts, predictions.trained):
                    return f" ({member.name} was trained on {facts.subject})"
        return ""

    def smooth(self, video: PlannedVideo, aligned: AlignedVideo, width: float | None) -> Floats:
        """Return the likelihoods of a video's members, (M, N, D), smoothed."""
        return np.stack(
            [
                smooth_likelihoods(
                    self.plan,
                    rows_ND,
                    aligned.frames_N,
                    aligned.fps,
                    width,
                    is_development=video.is_development,
                )
                for rows_ND in aligned.likelihoods_MND
            ]
        )

    def tracks_of(self, video: PlannedVideo) -> list[FeatureTrack]:
        """Return the predictions of the members that answer a video."""
        return [self.members[position].tracks[video.facts.subject] for position in video.answering.positions]

    def align(self, video: PlannedVideo) -> AlignedVideo:
        """Return what the members of a video say of the same frames."""
        plan = self.plan
        return align_tracks(self.task, self.tracks_of(video), plan.frames, plan.most_interpolated_s, plan.clock)

    def members_of(self, video: PlannedVideo) -> list[EnsembleMember]:
        """Return the plan's entries of the members that answer a video."""
        return [self.plan.members[position] for position in video.answering.positions]

    def count(self, video: PlannedVideo, aligned: AlignedVideo, likelihoods_ND: Floats) -> Floats:
        """Return the statistics of a scored video's labelled frames."""
        truth_NK, rows_N = self._truth_at(video, aligned)
        return count_frames(self.task, truth_NK, likelihoods_ND[rows_N])

    def _truth_at(self, video: PlannedVideo, aligned: AlignedVideo) -> tuple[npt.NDArray[np.float32], WholeNumbers]:
        """Return the labels of a video, and the row of its answers that each has.

        A label behind the last answer has the last one, as in a submission; by the protocol authors_code it becomes
        nan and does not count in development, as in SUN's scores.
        """
        labels = video.facts.labels
        assert labels is not None, "only labelled videos are scored"
        check_same_rate(f"labels of {labels.subject}", labels.fps, "its predictions", aligned.fps)
        leaves_out = self.plan.protocol == "authors_code" and video.is_development
        matched = match_frames(labels, aligned.frames_N, "leave_out" if leaves_out else "repeat")
        return np.where(matched.left_out_N[:, None], np.float32(np.nan), labels.values_NK), matched.rows_N

    def choose_width(self, on_video: OnVideo) -> WidthChoice:
        """Return the width of smoothing; of several, the best in development, of equal ones the narrowest.

        Raises UserError where no width has a score.
        """
        unit, widths = list_widths(self.plan)
        if len(widths) == 1:
            return WidthChoice(unit=unit, width=widths[0], scores={})
        # Weights and forests are not fitted yet: the plain mean of the members is smoothed for them.
        plan = self.plan
        if self._is_fitted:
            plan = replace(plan, method=replace(plan.method, kind="mean"), audio_entropy_nats=None)
        counted: dict[float | None, list[Floats]] = {width: [] for width in widths}
        for number, video in enumerate(self.development, 1):
            on_video("smoothing", number, len(self.development))
            aligned = self.align(video)
            for width in widths:
                joined_ND = join_answers(plan, self.members_of(video), self.smooth(video, aligned, width))
                counted[width].append(self.count(video, aligned, joined_ND))
        scores = {
            width: score_statistics(self.task, merge_statistics(self.task, np.stack(rows)))[MEAN].value
            for width, rows in counted.items()
        }

        if all(score is None for score in scores.values()):
            raise UserError(
                "no width of smoothing has a score: labels of the videos to choose it on are missing or constant; name "
                "sigma_frames or window_s"
            )

        def rank(width: float | None) -> float:
            score = scores[width]
            return -np.inf if score is None else score

        return WidthChoice(
            unit=unit, width=max(widths, key=rank), scores={f"{width:g}": scores[width] for width in widths}
        )

    def fit(self, width: float | None, on_video: OnVideo) -> tuple[Fitted | None, list[str]]:
        """Return what the method fits in development, and the person or file of each frame that it is fitted on.

        None, and no frame, for means and votes.
        """
        if not self._is_fitted:
            return None, []
        likelihoods, truth, groups = [], [], []
        for number, video in enumerate(self.development, 1):
            on_video("fitting", number, len(self.development))
            aligned = self.align(video)
            truth_NK, rows_N = self._truth_at(video, aligned)
            valid_N = np.isfinite(truth_NK).all(1)
            answers_MND = silence_uncertain_audio(self.plan, self.members_of(video), self.smooth(video, aligned, width))
            likelihoods.append(answers_MND[:, rows_N[valid_N]])
            truth.append(truth_NK[valid_N])
            groups += [self.group_of(video)] * int(valid_N.sum())
        if not groups:
            raise UserError("no frame of the videos to fit on has a valid label")
        rows = FittingRows(
            likelihoods_MND=np.concatenate(likelihoods, 1), truth_NK=np.concatenate(truth), groups_N=groups
        )
        fitted = fit_weights(self.plan, rows) if self.plan.method.kind == "dirichlet" else fit_forests(self.plan, rows)
        return fitted, groups

    def group_of(self, video: PlannedVideo) -> str:
        """Return what is left out together with a video: its person or media file."""
        labels = video.facts.labels
        return f"{video.facts.subject.source}/{labels.group if labels else video.facts.subject.video_id}"

    def answer(self, video: PlannedVideo, smoothed_MND: Floats, fitted: Fitted | None) -> Floats:
        """Return the ensemble's likelihoods of a video, (N, D)."""
        members = self.members_of(video)
        if fitted is None:
            return join_answers(self.plan, members, smoothed_MND)
        counted_MND = silence_uncertain_audio(self.plan, members, smoothed_MND)
        return fitted.answer(counted_MND, self.group_of(video))
