"""Predictions of a fine-tuned model for each person over time: one for every window of every clip."""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from avf_shards.errors import UserError
from avf_shards.format.manifest import MANIFEST

from avf_training.data.storage import StorageConfig
from avf_training.data.window_length import HOP_S
from avf_training.inference.feature_model import FeatureModel, read_clips
from avf_training.tasks.labelled_shards import LabelledShards

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class WindowPrediction:
    """Prediction for the window [start_s, stop_s) of a video."""

    start_s: float  # of the video's own time
    stop_s: float  # of the video's own time
    scores: tuple[float, ...]  # probabilities of the classes, or values of the dimensions


@dataclass(frozen=True, kw_only=True)
class ClipPrediction:
    """Predictions for one person in one clip, ordered by time."""

    key: str  # of the clip
    video_id: str  # of the video the clip was cut from
    person: int  # index of the person in the video's scene, from 0
    names: tuple[str, ...]  # of the classes or dimensions
    classes: bool  # False: dimensions
    windows: tuple[WindowPrediction, ...]  # at most HOP_S apart

    @property
    def mean(self) -> tuple[float, ...]:
        """Mean scores over all windows."""
        return tuple(float(v) for v in np.mean([window.scores for window in self.windows], 0))

    @property
    def best(self) -> str | None:
        """Name of the class with the highest mean probability; None for dimensions."""
        return self.names[int(np.argmax(self.mean))] if self.classes else None


def find_shards(folder: Path | str) -> str:
    """Return the folder of shards in the output of `avf-curate clip --out DIR`, or `folder` itself."""
    inner = Path(folder) / "shards"
    return str(inner) if (inner / MANIFEST).is_file() else str(folder)


def predict(folder: Path | str, model: Path | str, hop_s: float = HOP_S, device: str = "cpu") -> list[ClipPrediction]:
    """Return the predictions of a fine-tuned model for every clip, ordered by video, time and person.

    Raises UserError for a pre-trained model, which has not learned to predict, and FaultError for damaged clips.

    Args:
        folder: output of `avf-curate clip`, or shards.
        model: a saved model or a finished run.
        hop_s: seconds between the starts of two windows.
    """
    feature_model = FeatureModel(Path(model), device)
    if not feature_model.fine_tuned:
        raise UserError(f"{model}: is a pre-trained model and cannot predict; fine-tune it first")
    if hop_s <= 0:
        raise UserError(f"hop_s {hop_s} must be above 0")
    names = feature_model.names or tuple(f"class {n}" for n in range(feature_model.model.outputs))
    predictions = []
    for record, files in read_clips(LabelledShards([find_shards(folder)], StorageConfig())):
        windows = []
        for start_s, stop_s, features in feature_model.features_over_time(record, files, hop_s):
            assert features.scores is not None
            scores = tuple(features.scores.cpu().tolist())
            windows.append(WindowPrediction(start_s=start_s, stop_s=stop_s, scores=scores))
        predictions.append(
            ClipPrediction(
                key=record.key,
                video_id=record.video_id,
                person=record.track,
                names=names,
                classes=feature_model.is_classifier,
                windows=tuple(windows),
            )
        )
    log.info("%s: %d clips, a window every %g s, model %s", folder, len(predictions), hop_s, model)
    return sorted(predictions, key=lambda clip: (clip.video_id, clip.windows[0].start_s, clip.person))
