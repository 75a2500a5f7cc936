"""The predictions of one model or ensemble: PREDICTIONS/NAME/SOURCE/VIDEO.parquet, feature tracks whose vectors are
values or logits of a task.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from avf_shards.errors import FaultError, UserError

from avf_training.framewise.labels.tasks import FrameLabelTask
from avf_training.framewise.labels.trained_videos import TrainedVideos, read_trained_videos
from avf_training.framewise.tracks.errors import DamagedTrackError, MissingTrackError, OtherTrackError
from avf_training.framewise.tracks.feature_track import PREDICTION_TRACK, FeatureTrack, read_track
from avf_training.framewise.tracks.identity import ExtractorIdentity, TrackSubject
from avf_training.framewise.tracks.track_folder import TrackFolder

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class PredictionSet:
    """What one model says of every video that it was asked about."""

    name: str  # of the folder
    task: FrameLabelTask
    identity: ExtractorIdentity  # of the model, the same in every track
    tracks: Mapping[TrackSubject, FeatureTrack]  # by person of a video, sorted
    trained: TrainedVideos | None  # what the model was trained on; None: predictions of an earlier version, or others'

    @property
    def settings(self) -> dict[str, object]:
        """Return the settings that the model's identity holds."""
        return dict(json.loads(self.identity.settings))


def choose_name(folder: Path, name: str | None) -> str:
    """Return the name of predictions in a folder: the one that is asked for, or the only one there.

    Raises UserError where there is none of that name, or none or several to choose from.
    """
    names = TrackFolder(folder).extractors()
    if name is None and len(names) == 1:
        return names[0]
    if not names:
        raise UserError(f"{folder}: holds no predictions; `avf-train predict-frames` writes NAME/SOURCE/VIDEO.parquet")
    known = ", ".join(names)
    if name is None:
        raise UserError(f"{folder}: holds predictions of {known}; choose one with --name")
    if not TrackFolder(folder).folder_of(name).is_dir():
        raise UserError(f"{folder}: has no predictions of {name!r}; it has those of {known}")
    return name


def read_prediction_set(folder: Path, name: str, task: FrameLabelTask) -> PredictionSet:
    """Return all predictions of a name, each track checked.

    Raises:
        UserError: there is none, or they are of another task or of several models.
        DamagedTrackError: a file cannot be read.
    """
    choose_name(folder, name)
    tracks: dict[TrackSubject, FeatureTrack] = {}
    for path in TrackFolder(folder).files_of(name):
        track = read_track(path, kind=PREDICTION_TRACK)
        _check_task(path, track, task)
        right = TrackFolder(folder).path(track.extractor.name, track.subject)
        if path != right:
            raise OtherTrackError(f"{path}: is of {track.subject}; its name is {right}: rename it, or remove it")
        tracks[track.subject] = track
    if not tracks:
        raise UserError(f"{folder / name}: holds no predictions, SOURCE/VIDEO.parquet")
    identities = {track.extractor.digest: track.extractor for track in tracks.values()}
    if len(identities) > 1:
        raise UserError(f"{folder / name}: has tracks of {len(identities)} models; keep those of one in a folder")
    (identity,) = identities.values()
    trained = read_trained_videos(TrackFolder(folder).folder_of(name))
    if trained is None:
        log.warning(
            "%s: does not say which videos its model was trained on; sets of labels and folds of the plan decide which "
            "are new to it (predict-frames of this version adds it)",
            TrackFolder(folder).folder_of(name),
        )
    return PredictionSet(name=name, task=task, identity=identity, tracks=dict(sorted(tracks.items())), trained=trained)


def refuse_other_model(folder: Path, identity: ExtractorIdentity) -> None:
    """Raise OtherTrackError for the first prediction below a name that is of another model than this identity's.

    Who writes predictions asks before the first one, so that no folder gets those of two models.
    """
    if not folder.is_dir():
        return
    for path in TrackFolder(folder).files_of(identity.name):
        try:
            read_track(path, extractor=identity, kind=PREDICTION_TRACK)
        except (DamagedTrackError, MissingTrackError):
            continue  # a damaged one is written anew, and another process may have removed one


def _check_task(path: Path, track: FeatureTrack, task: FrameLabelTask) -> None:
    try:
        settings = json.loads(track.extractor.settings)
    except ValueError:
        raise FaultError(f"{path}: its extractor's settings are no JSON; {PREDICTION_TRACK.remedy}") from None
    stored = settings.get("task") if isinstance(settings, dict) else None
    if stored is None:
        raise OtherTrackError(
            f"{path}: is a track of features, not of predictions; `avf-train predict-frames` writes them"
        )
    if stored != task.name:
        raise OtherTrackError(
            f"{path}: has predictions of {stored}, not of {task.name}; name others, or take the task {stored}"
        )
    if track.width != task.outputs:
        raise OtherTrackError(
            f"{path}: has vectors of {track.width} values; {task.name} has {task.outputs}; {PREDICTION_TRACK.remedy}"
        )
