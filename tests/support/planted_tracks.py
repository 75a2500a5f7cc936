"""Small tracks and labels of frames in which a few features carry the labels, by a seed."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from avf_training.framewise.labels.label_track import LabelTrack, SplitName, write_label_track
from avf_training.framewise.labels.tasks import TASKS_OF_FRAMES
from avf_training.framewise.tracks.feature_track import FeatureTrack, write_track
from avf_training.framewise.tracks.identity import ExtractorIdentity, TrackSubject
from avf_training.framewise.tracks.track_folder import TrackFolder

SOURCE = "lab"
VIDEOS: Mapping[str, SplitName] = {
    **{f"t{number}": "train" for number in range(6)},
    **{f"v{number}": "validation" for number in range(3)},
}
WIDTHS = {"looks": 16, "more_looks": 16, "sounds": 8, "odd": 20}


def identity_of(extractor: str, weights: str = "ab") -> ExtractorIdentity:
    return ExtractorIdentity.from_settings(extractor, {"size_px": 8}, weights * 32)


def curves(video: str, frames: int, fps: float, columns: int) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Slow curves in -1..1, (N, columns), that the name of the video chooses."""
    random = np.random.default_rng(sum(map(ord, video)) * 31)
    times_s = np.arange(frames)[:, None] / fps
    waves = np.sin(2 * np.pi * (times_s * random.uniform(0.08, 0.25, columns) + random.uniform(0, 1, columns)))
    return np.asarray(waves)


def write_planted_track(
    folder: Path, extractor: str, video: str, *, frames: int = 400, fps: float = 25.0, weights: str = "ab"
) -> None:
    """Write a track whose first features are the curves under the labels, and whose others are noise."""
    width = WIDTHS[extractor]
    random = np.random.default_rng(sum(map(ord, video + extractor)))
    vectors = random.standard_normal((frames, width)) * 0.3
    truth = curves(video, frames, fps, 12)
    vectors[:, : min(12, width)] += truth[:, : min(12, width)]
    subject = TrackSubject(source=SOURCE, video_id=video)
    track = FeatureTrack(
        subject=subject,
        extractor=identity_of(extractor, weights),
        fps=fps,
        inputs_sha256="cd" * 32,
        frames_N=np.arange(1, frames + 1),
        times_s_N=np.arange(frames) / fps,
        vectors_ND=vectors.astype(np.float32),
    )
    write_track(TrackFolder(folder).path(extractor, subject), track)


def make_planted_labels(
    task: str, video: str, split: SplitName | None, frames: int = 400, fps: float = 25.0
) -> LabelTrack:
    """Labels that follow from the curves: valence and arousal are the first two, units are on above 0.3."""
    truth = curves(video, frames, fps, 12)
    values = {
        "va": truth[:, :2] * 0.9,
        "expr": truth[:, :8].argmax(1)[:, None],
        "au": truth > 0.3,
    }[task].astype(np.float32)
    return LabelTrack(
        subject=TrackSubject(source=SOURCE, video_id=video),
        task=TASKS_OF_FRAMES[task],
        split=split,
        group=video,
        person=None,
        scene=None,
        fps=fps,
        frames_N=np.arange(1, frames + 1),
        times_s_N=np.arange(frames) / fps,
        values_NK=values,
    )


def write_planted_corpus(folder: Path) -> tuple[Path, Path]:
    """Write tracks of three extractors and labels of three tasks for all videos; return both folders."""
    tracks, labels = folder / "tracks", folder / "labels"
    for video, split in VIDEOS.items():
        for extractor in ("looks", "more_looks", "sounds"):
            write_planted_track(tracks, extractor, video)
        for task in TASKS_OF_FRAMES:
            write_label_track(labels, make_planted_labels(task, video, split))
    return tracks, labels
