"""Predictions of a fine-tuned model for each person of a video over time: one for every window of every clip."""

import logging
from pathlib import Path

from avf_training.data.storage import StorageConfig
from avf_training.data.window_length import HOP_S, check_hop
from avf_training.inference.clip_input import open_clips
from avf_training.inference.feature_model import FeatureModel, OnClip, ignore_clip, read_clips
from avf_training.inference.people import number_people
from avf_training.inference.person_prediction import PersonPrediction, WindowPrediction
from avf_training.inference.video_clock import VideoClock
from avf_training.tasks.labelled_shards import LabelledShards
from avf_training.trainer.saved_model import require_fine_tuned

log = logging.getLogger(__name__)


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
    require_fine_tuned(Path(model))
    return FeatureModel(Path(model), device)


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
