"""What is predicted for a person of a video over time. Without torch, which files and tables do not need."""

from dataclasses import dataclass

import numpy as np
from avf_shards.schema.forgery import FAKE, REAL

from avf_training.models.pooling import Pool, pool_windows


@dataclass(frozen=True, kw_only=True)
class WindowPrediction:
    """Prediction for the window [start_s, stop_s) of a video.

    Times are seconds of the video's own file as players show them (video_clock.py), also where its picture begins after
    its sound, where clips begin late in it, and where a corpus names only a part of the file as the video.
    """

    key: str  # of the clip that the window lies in
    start_s: float  # of the file
    stop_s: float  # of the file
    scores: tuple[float, ...]  # probabilities of the classes, or values of the dimensions; the mean of several models
    each_model: tuple[tuple[float, ...], ...] = ()  # scores of each of several models; empty for a single model


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
    models: tuple[str, ...] = ()  # paths of the models that were averaged; empty for a single model
    pool: Pool = "mean"  # of a detector: how the probabilities of windows become that of the person
    # Forged seconds of the file, where the records of the clips know them; None: they say nothing.
    forged_s: tuple[tuple[float, float], ...] | None = None

    @property
    def mean(self) -> tuple[float, ...]:
        """Mean scores over all windows."""
        return tuple(float(v) for v in np.mean([window.scores for window in self.windows], 0))

    @property
    def best(self) -> str | None:
        """Name of the class with the highest mean probability; None for dimensions."""
        return self.names[int(np.argmax(self.mean))] if self.classes else None

    @property
    def detects(self) -> bool:
        """Return whether the classes are real and fake."""
        return self.classes and self.names == (REAL, FAKE)

    @property
    def fake(self) -> float | None:
        """Probability of a fake, pooled over the windows; None where the model has learned other classes."""
        return pool_windows([window.scores[1] for window in self.windows], self.pool) if self.detects else None

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of the clips, ordered by time."""
        return tuple(dict.fromkeys(window.key for window in self.windows))
