"""Small predictions and labels of frames, made from a seed."""

from pathlib import Path
from typing import Any

import numpy as np
from avf_training.evaluation.metrics import Floats
from avf_training.framewise.labels.label_track import LabelTrack, SplitName, write_label_track
from avf_training.framewise.labels.tasks import find_task
from avf_training.framewise.predictions.likelihoods import to_vectors
from avf_training.framewise.tracks.feature_track import FeatureTrack, write_track
from avf_training.framewise.tracks.identity import ExtractorIdentity, TrackSubject
from avf_training.framewise.tracks.track_folder import TrackFolder

SOURCE = "aff_wild2"


def make_truth(task: str, video: str, frames: int = 120) -> Floats:
    """Labels of a video, a slow curve in every column; the video's name chooses it."""
    random = np.random.default_rng(sum(map(ord, video)))
    time = np.arange(frames)[:, None] / frames
    columns = find_task(task).columns
    waves = np.sin(2 * np.pi * (time * random.uniform(1, 3, len(columns)) + random.uniform(0, 1, len(columns))))
    if task == "va":
        return np.asarray(0.8 * waves)
    if task == "au":
        return np.asarray((waves > 0).astype(float))
    return np.asarray(np.floor((waves + 1) * 3.999))


def make_labels(task: str, video: str, split: SplitName = "validation", **changes: Any) -> LabelTrack:
    """Labels of a video: those of `make_truth`, or `values`, of 30 frames a second."""
    values = changes.pop("values", None)
    values = make_truth(task, video) if values is None else values
    frames = np.arange(1, len(values) + 1)
    fields: dict[str, Any] = {
        "subject": TrackSubject(source=SOURCE, video_id=video),
        "task": find_task(task),
        "split": split,
        "group": video,
        "person": None,
        "scene": None,
        "fps": 30.0,
        "frames_N": frames,
        "times_s_N": (frames - 1) / 30.0,
        "values_NK": np.asarray(values, np.float32),
    }
    return LabelTrack(**(fields | changes))


def write_labels(folder: Path, task: str, video: str, split: SplitName = "validation", **changes: Any) -> LabelTrack:
    """Write the labels of a video."""
    track = make_labels(task, video, split, **changes)
    write_label_track(folder, track)
    return track


def make_vectors(task: str, truth_NK: Floats, noise: float, seed: int) -> Floats:
    """Vectors of a model that knows the truth but for noise."""
    random = np.random.default_rng(seed)
    outputs = find_task(task).outputs
    if task == "va":
        return np.asarray((truth_NK + random.normal(scale=noise, size=truth_NK.shape)).clip(-1, 1))
    known = 2 * truth_NK - 1 if task == "au" else 2 * np.eye(outputs)[truth_NK[:, 0].astype(int)]
    return np.asarray(known + random.normal(scale=4 * noise, size=(len(truth_NK), outputs)))


def make_prediction(
    name: str, task: str, video: str, vectors_ND: Any, *, frames_N: Any = None, fps: float = 30.0, **settings: str
) -> FeatureTrack:
    """A model's vectors of a video, of the frames from 1 on or of those given; `settings` are further ones of it."""
    frames_N = np.arange(1, len(vectors_ND) + 1) if frames_N is None else np.asarray(frames_N)
    return FeatureTrack(
        subject=TrackSubject(source=SOURCE, video_id=video),
        extractor=ExtractorIdentity.from_settings(name, {"task": task, **settings}, f"{sum(map(ord, name)):064x}"),
        fps=fps,
        inputs_sha256="cd" * 32,
        frames_N=frames_N,
        times_s_N=(frames_N - 1) / fps,
        vectors_ND=np.asarray(vectors_ND, np.float32),
    )


def write_predictions(
    folder: Path,
    name: str,
    task: str,
    vectors: dict[str, Any],
    *,
    frames: dict[str, Any] | None = None,
    settings: dict[str, str] | None = None,
) -> None:
    """Write a model's vectors of each video, of the frames from 1 on or of those given."""
    for video, vectors_ND in vectors.items():
        track = make_prediction(name, task, video, vectors_ND, frames_N=(frames or {}).get(video), **(settings or {}))
        write_track(TrackFolder(folder).path(name, track.subject), track)


def write_model(
    folder: Path, name: str, task: str, videos: list[str], *, noise: float = 0.2, frames: int = 120
) -> None:
    """Write the predictions of a model that knows the truth of videos but for noise; the name is its seed."""
    seed = sum(map(ord, name))
    vectors = {
        video: make_vectors(task, make_truth(task, video, frames), noise, seed + number)
        for number, video in enumerate(videos)
    }
    write_predictions(folder, name, task, vectors)


def certain_vectors(task: str, answers: Floats) -> Floats:
    """Vectors whose answers are these: values, one-hot classes or 0 and 1."""
    return np.asarray(to_vectors(find_task(task), answers), np.float64)
