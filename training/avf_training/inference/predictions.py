"""Predictions of a fine-tuned model for each person of a video over time: one for every window of every clip."""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from avf_shards.errors import UserError

from avf_training.data.storage import StorageConfig
from avf_training.data.window_length import HOP_S
from avf_training.inference.clip_input import open_clips
from avf_training.inference.feature_model import FeatureModel, OnClip, ignore_clip, read_clips
from avf_training.inference.people import number_people
from avf_training.inference.video_clock import VideoClock
from avf_training.tasks.labelled_shards import LabelledShards

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class WindowPrediction:
    """Prediction for the window [start_s, stop_s) of a video.

    Times are seconds of the video's own file as players show them (video_clock.py), also where its picture begins after
    its sound, where clips begin late in it, and where a corpus names only a part of the file as the video.
    """

    key: str  # of the clip that the window lies in
    start_s: float  # of the file
    stop_s: float  # of the file
    scores: tuple[float, ...]  # probabilities of the classes, or values of the dimensions


@dataclass(frozen=True, kw_only=True)
class PersonPrediction:
    """Predictions for one person over a whole video.

    People are followed from shot to shot by how they look, which after a cut can be wrong (see people.py). Where a shot
    does not show the person, the windows leave a gap.
    """

    source: str  # name of the source in the shards
    video_id: str  # of the video that the clips were cut from
    path: str  # of the video's file, relative to its source's folder
    person: int  # from 0; in the first shot 0 has the largest face
    names: tuple[str, ...]  # of the classes or dimensions
    classes: bool  # False: dimensions
    windows: tuple[WindowPrediction, ...]  # ordered by time

    @property
    def mean(self) -> tuple[float, ...]:
        """Mean scores over all windows."""
        return tuple(float(v) for v in np.mean([window.scores for window in self.windows], 0))

    @property
    def best(self) -> str | None:
        """Name of the class with the highest mean probability; None for dimensions."""
        return self.names[int(np.argmax(self.mean))] if self.classes else None

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of the clips, ordered by time."""
        return tuple(dict.fromkeys(window.key for window in self.windows))


def predict(path: Path | str, model: Path | str, hop_s: float = HOP_S, device: str = "cpu") -> list[PersonPrediction]:
    """Return the predictions of a fine-tuned model for every person, ordered by video and person.

    Raises UserError for a pre-trained model, which has not learned to predict, and for videos without a face, and
    FaultError for damaged clips.

    Args:
        path: a video, a folder of videos, the output of `avf-curate clip`, or shards.
        model: a saved model or a finished run.
        hop_s: seconds between the starts of two windows.
    """
    feature_model = load_fine_tuned(model, device)  # before clips are cut from a video, which may take minutes
    check_hop(hop_s)
    with open_clips(path) as shards:
        return predict_shards(shards, feature_model, hop_s, videos=path)


def load_fine_tuned(model: Path | str, device: str) -> FeatureModel:
    """Return a saved model that can predict. Raises UserError for a pre-trained one."""
    feature_model = FeatureModel(Path(model), device)
    if not feature_model.fine_tuned:
        raise UserError(f"{model}: is a pre-trained model and cannot predict; fine-tune it first")
    return feature_model


def check_hop(hop_s: float) -> None:
    """Raise UserError where windows would not move on."""
    if not hop_s > 0:
        raise UserError(f"hop {hop_s:g} must be above 0 seconds")


def predict_shards(
    shards: str,
    feature_model: FeatureModel,
    hop_s: float,
    on_clip: OnClip = ignore_clip,
    *,
    videos: Path | str | None = None,
) -> list[PersonPrediction]:
    """Return the predictions for every person in the clips of a folder of shards.

    Args:
        videos: the input that the clips are of, whose files tell when their first picture is shown; None: at 0.
        on_clip: called before each clip with its video, its number from 1, and the number of clips.
    """
    names = feature_model.names or tuple(f"class {n}" for n in range(feature_model.model.outputs))
    windows_of: dict[tuple[str, str, int], list[WindowPrediction]] = {}
    path_of: dict[tuple[str, str], str] = {}
    clips = LabelledShards([shards], StorageConfig())
    person_of, clock = number_people(clips), VideoClock(videos)
    for number, (record, files) in enumerate(read_clips(clips), 1):
        on_clip(record.video_id, number, len(clips))
        path_of[record.source, record.video_id] = record.path
        windows = windows_of.setdefault((record.source, record.video_id, person_of[record.key]), [])
        for start_s, stop_s, features in feature_model.features_over_time(clock.clip_start_s(record), files, hop_s):
            assert features.scores is not None
            scores = tuple(features.scores.cpu().tolist())
            windows.append(WindowPrediction(key=record.key, start_s=start_s, stop_s=stop_s, scores=scores))
    log.info("%s: %d timelines, a window every %g s", shards, len(windows_of), hop_s)
    return [
        PersonPrediction(
            source=source,
            video_id=video_id,
            path=path_of[source, video_id],
            person=person,
            names=names,
            classes=feature_model.is_classifier,
            windows=tuple(sorted(windows, key=lambda window: window.start_s)),
        )
        for (source, video_id, person), windows in sorted(windows_of.items())
    ]
