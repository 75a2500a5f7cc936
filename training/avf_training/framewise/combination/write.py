"""The predictions of an ensemble and its record, written below OUT/NAME in the form of its members' predictions."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from avf_shards.system import durable_io

from avf_training.evaluation.metrics import Floats
from avf_training.framewise.combination.alignment import AlignedVideo, digest_members
from avf_training.framewise.combination.fitting import Fitted, FittedForests, FittedWeights
from avf_training.framewise.combination.record import (
    EnsembleRecord,
    FittingRecord,
    MemberRecord,
    VideoRecord,
    write_record,
)
from avf_training.framewise.combination.run import EnsembleRun, OnVideo, PlannedVideo
from avf_training.framewise.combination.smoothing_choice import WidthChoice
from avf_training.framewise.labels.trained_videos import TrainedVideo, TrainedVideos
from avf_training.framewise.predictions.frame_statistics import (
    count_valid,
    list_values,
    merge_statistics,
    score_statistics,
)
from avf_training.framewise.predictions.likelihoods import to_likelihoods, to_vectors
from avf_training.framewise.predictions.prediction_set import refuse_other_model
from avf_training.framewise.tracks.errors import OtherTrackError
from avf_training.framewise.tracks.feature_track import PREDICTION_TRACK, FeatureTrack, read_track, write_track
from avf_training.framewise.tracks.identity import ExtractorIdentity, TrackSubject
from avf_training.framewise.tracks.track_folder import TrackFolder, is_written


@dataclass(frozen=True, kw_only=True)
class _Answers:
    """What is said of a video."""

    ensemble_ND: Floats  # likelihoods by the track that was written
    smoothed_MND: Floats  # of the members, smoothed


@dataclass(kw_only=True)
class _Counts:
    """Statistics of scored videos of one kind, of the ensemble and of each member alone."""

    ensemble: list[Floats] = field(default_factory=list)
    raw: dict[int, list[Floats]] = field(default_factory=dict)  # by position of the member
    smoothed: dict[int, list[Floats]] = field(default_factory=dict)

    def add(self, run: EnsembleRun, video: PlannedVideo, aligned: AlignedVideo, answers: _Answers) -> None:
        """Count a video."""
        self.ensemble.append(run.count(video, aligned, answers.ensemble_ND))
        for position, raw_ND, smoothed_ND in zip(
            video.answering.positions, aligned.likelihoods_MND, answers.smoothed_MND, strict=True
        ):
            self.raw.setdefault(position, []).append(run.count(video, aligned, raw_ND))
            self.smoothed.setdefault(position, []).append(run.count(video, aligned, smoothed_ND))

    def frames(self, run: EnsembleRun) -> int:
        """Return the valid labels of all videos."""
        return count_valid(run.task, merge_statistics(run.task, np.stack(self.ensemble))) if self.ensemble else 0


def write_ensemble(run: EnsembleRun, out: Path, on_video: OnVideo) -> EnsembleRecord:
    """Choose, fit, and write the ensemble's track of every video and its record; return the record.

    Tracks that stand there already and would be the same stay.

    Raises OtherTrackError where a track of the ensemble's name is of another plan, or of other members.
    """
    choice = run.choose_width(on_video)
    fitted, groups_N = run.fit(choice.width, on_video)
    fitting = describe_fitting(run, fitted, groups_N)
    identity = _identify(run, choice, fitting)
    standing = _list_standing(run, out, identity)
    development, test = _Counts(), _Counts()
    videos = []
    for number, video in enumerate(run.videos, 1):
        on_video("answering", number, len(run.videos))
        aligned = run.align(video)
        smoothed_MND = run.smooth(video, aligned, choice.width)
        track = _make_track(run, video, aligned, run.answer(video, smoothed_MND, fitted), identity)
        if track.subject not in standing:
            _write_once(TrackFolder(out).path(identity.name, track.subject), track)
        videos.append(_describe_video(run, video, aligned))
        if video.is_scored:
            # What is read again counts, not what was computed: float32 may round a tie the other way.
            written_ND = to_likelihoods(run.task, track.vectors_ND)
            counts = development if video.is_development else test
            counts.add(run, video, aligned, _Answers(ensemble_ND=written_ND, smoothed_MND=smoothed_MND))
    record = EnsembleRecord(
        name=run.plan.name,
        task=run.task.name,
        plan=json.loads(json.dumps(asdict(run.plan))),
        protocol=asdict(run.plan.protocol_options),
        width_unit=choice.unit,
        width=choice.width,
        width_scores=choice.scores,
        fitting=fitting,
        members=_describe_members(run, videos, development, test),
        videos=tuple(videos),
        scored_frames=development.frames(run),
        scores=_scores(run, development.ensemble),
        test_frames=test.frames(run),
        test_scores=_scores(run, test.ensemble),
    )
    folder = TrackFolder(out).folder_of(identity.name)
    durable_io.make_folder(folder)
    _list_trained(run).write(folder)
    write_record(folder, record)
    return record


def _list_trained(run: EnsembleRun) -> TrainedVideos:
    """Return the videos whose answers are those of members that were trained on them."""
    learned = []
    for video in run.videos:
        subject, labels = video.facts.subject, video.facts.labels
        if video.answering.seen:
            entry = TrainedVideo(source=subject.source, video=subject.video_id, person=subject.person)
            learned.append(entry if labels is None else TrainedVideo.from_labels(labels))
    return TrainedVideos(train_on="ensemble").add(learned)


def describe_fitting(run: EnsembleRun, fitted: Fitted | None, groups_N: Sequence[str]) -> FittingRecord:
    """Return what was fitted, as the record says it. `groups_N`: person or file of each frame that it was fitted on."""
    kind, frames, groups = run.plan.method.kind, len(groups_N), len(set(groups_N))
    if isinstance(fitted, FittedWeights):
        names = [member.name for member in run.plan.members]
        weights = {
            output: dict(zip(names, map(float, column_M), strict=True))
            for output, column_M in zip(run.task.classes, fitted.weights_MD.T, strict=True)
        }
        return FittingRecord(
            kind=kind,
            frames=frames,
            groups=groups,
            weights=weights,
            chosen_score=_finite(fitted.score),
            left_out_score=None if fitted.left_out is None else _finite(fitted.left_out),
        )
    if isinstance(fitted, FittedForests):
        stacked = fitted.stacked
        return FittingRecord(
            kind=kind,
            frames=frames,
            groups=groups,
            trees=stacked.trees,
            criterion=stacked.criterion,
            left_out_score=_finite(stacked.grouped),
            out_of_bag_score=_finite(float(np.mean(stacked.out_of_bag))),
            headline=run.plan.protocol_options.forest_score,
        )
    return FittingRecord(kind=kind)


def _identify(run: EnsembleRun, choice: WidthChoice, fitting: FittingRecord) -> ExtractorIdentity:
    """Return the identity of the ensemble: another plan, member, width or weight is another ensemble."""
    values = {
        "plan": asdict(run.plan),
        "members": [member.identity.digest for member in run.members],
        "width": choice.width,
        "fitting": {name: value for name, value in asdict(fitting).items() if name != "groups"},  # as in version 1
    }
    digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
    settings = {"task": run.task.name, "method": run.plan.method.kind, "protocol": run.plan.protocol}
    return ExtractorIdentity.from_settings(run.plan.name, settings, digest)


def _make_track(
    run: EnsembleRun, video: PlannedVideo, aligned: AlignedVideo, likelihoods_ND: Floats, identity: ExtractorIdentity
) -> FeatureTrack:
    return FeatureTrack(
        subject=video.facts.subject,
        extractor=identity,
        fps=aligned.fps,
        inputs_sha256=aligned.inputs_sha256,
        frames_N=aligned.frames_N,
        times_s_N=aligned.times_s_N,
        vectors_ND=to_vectors(run.task, likelihoods_ND),
    )


def _list_standing(run: EnsembleRun, out: Path, identity: ExtractorIdentity) -> set[TrackSubject]:
    """Return whose tracks of the ensemble are there already; a damaged one is removed, and written anew.

    Raises OtherTrackError, before anything is written, where one of another plan or of other predictions is there.
    """
    refuse_other_model(out, identity)
    standing = set()
    for video in run.videos:
        subject = video.facts.subject
        path = TrackFolder(out).path(identity.name, subject)

        def refusal(stored: FeatureTrack, path: Path = path) -> str:
            return (
                f"{path}: was made of other predictions of {stored.subject}; remove it, or name another folder with "
                "--out or another name in the plan"
            )

        inputs = digest_members(run.tracks_of(video))
        if is_written(path, subject, identity, inputs_sha256=inputs, refusal=refusal):
            standing.add(subject)
    return standing


def _write_once(path: Path, track: FeatureTrack) -> None:
    """Write a track. Raises OtherTrackError where another one was written meanwhile."""
    try:
        write_track(path, track)
    except OtherTrackError:
        stored = read_track(path, subject=track.subject, extractor=track.extractor, kind=PREDICTION_TRACK)
        if stored.inputs_sha256 != track.inputs_sha256:  # and not by a faster process with the same plan
            raise


def _describe_video(run: EnsembleRun, video: PlannedVideo, aligned: AlignedVideo) -> VideoRecord:
    return VideoRecord(
        source=video.facts.subject.source,
        video=video.facts.subject.video_id,
        person=video.facts.subject.person,
        scene=video.facts.scene,
        fold=video.facts.fold,
        members=tuple(member.name for member in run.members_of(video)),
        missing=video.missing,
        frames=len(aligned.frames_N),
        interpolated=aligned.interpolated,
        repeated=aligned.repeated,
        split=video.facts.split,
        scored=video.is_scored,
        longest_gap_s=aligned.longest_gap_s,
        related=video.related,
    )


def _describe_members(
    run: EnsembleRun, videos: Sequence[VideoRecord], development: _Counts, test: _Counts
) -> tuple[MemberRecord, ...]:
    return tuple(
        MemberRecord(
            name=member.name,
            digest=predicted.identity.digest,
            settings=predicted.settings,
            fold=member.fold,
            trained_on=member.trained_on,
            scene=member.scene,
            weight=member.weight,
            videos=len(predicted.tracks),
            answers=sum(member.name in video.members for video in videos),
            scored_videos=len(development.raw.get(position, [])),
            scores=_scores(run, development.raw.get(position, [])),
            smoothed_scores=_scores(run, development.smoothed.get(position, [])),
            test_videos=len(test.raw.get(position, [])),
            test_scores=_scores(run, test.raw.get(position, [])),
            smoothed_test_scores=_scores(run, test.smoothed.get(position, [])),
        )
        for position, (member, predicted) in enumerate(zip(run.plan.members, run.members, strict=True))
    )


def _scores(run: EnsembleRun, rows: Sequence[Floats]) -> dict[str, float | None]:
    """Return the scores of some videos together; none without a video."""
    if not rows:
        return {}
    return list_values(score_statistics(run.task, merge_statistics(run.task, np.stack(rows))))


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
