"""The windows that acoustic models learn from: 4 s of sound of a labelled video, where somebody seems to speak.

S steps of a window (20), W its seconds with an expression (4), N frames of a video.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from avf_shards.errors import UserError
from avf_shards.text import count_noun

from avf_training.framewise.labels.label_track import LabelTrack, list_label_tracks
from avf_training.framewise.labels.shared_people import names_in, warn_of_shared
from avf_training.framewise.labels.tasks import find_task
from avf_training.framewise.labels.trained_videos import TrainedVideo
from avf_training.framewise.metrics import MISSING_CLASS
from avf_training.framewise.sampling.voice_segments import (
    Clock,
    VoiceSegment,
    expression_labels,
    training_segments,
)
from avf_training.framewise.tracks.errors import DamagedFiles, DamagedTrackError, MissingTrackError, list_bounded
from avf_training.framewise.tracks.feature_track import FeatureTrack
from avf_training.framewise.tracks.frame_rates import check_same_rate
from avf_training.framewise.tracks.identity import TrackSubject
from avf_training.framewise.tracks.track_folder import TrackFolder
from avf_training.framewise.tracks.voice_extractors import SPEECH, open_frames

_SIDE = re.compile(r"_(left|right)$")  # of the second name that a film of two persons has in Aff-Wild2
MOUTH = "mouth"


@dataclass(frozen=True, kw_only=True)
class VoiceWindow:
    """A window with its labels."""

    file: Path  # that is heard
    segment: VoiceSegment
    affect_S2: npt.NDArray[np.float32] | None  # valence and arousal; None: not learned
    expressions_W: npt.NDArray[np.int64] | None


@dataclass(frozen=True, kw_only=True)
class VoiceSets:
    """The windows of both sets, and what was left out."""

    training: tuple[VoiceWindow, ...]
    validation: tuple[VoiceWindow, ...]
    skipped: tuple[str, ...]  # a sentence for each labelled video without sound or voice
    trained: tuple[TrainedVideo, ...] = ()  # persons of videos that `training` is of

    def digest(self) -> str:
        """Return the SHA-256 of all windows: files, times and labels."""
        sha = hashlib.sha256()
        for window in (*self.training, *self.validation):
            sha.update(f"{window.file.name} {window.segment.start_s!r} {window.segment.end_s!r}".encode())
            for labels in (window.affect_S2, window.expressions_W):
                sha.update(b"" if labels is None else np.ascontiguousarray(labels).tobytes())
        return sha.hexdigest()


@dataclass(frozen=True, kw_only=True)
class VoiceData:
    """Where sound, labels and voice are."""

    sounds: Mapping[str, Path]  # file by video
    labels: Path  # folder of label tracks
    voice: Path  # folder of tracks of `mouth` or `speech`

    @property
    def voice_extractor(self) -> str:
        """Return `mouth` where the folder has it, else `speech`. Raises UserError where it has neither."""
        there = TrackFolder(self.voice).extractors()
        for name in (MOUTH, SPEECH):
            if name in there:
                return name
        raise UserError(
            f"{self.voice}: has tracks of neither {MOUTH} nor {SPEECH}; `avf-train extract --extractor {SPEECH}` "
            "writes them"
        )


def list_voice_windows(data: VoiceData, tasks: Sequence[str], *, clock: Clock, skips: bool) -> VoiceSets:
    """Return the windows of all videos whose labels say that they are of training or validation.

    Args:
        tasks: `va`, `expr` or both; of both a frame needs both labels.
        clock: of the sound, see `training_segments`.
        skips: leave out videos without sound or voice; else they raise UserError, which names them.

    Raises UserError, also for a set without a window, and FaultError for damaged tracks.
    """
    extractor, folder = data.voice_extractor, TrackFolder(data.voice)
    windows: dict[str, list[VoiceWindow]] = {"train": [], "validation": []}
    skipped: list[str] = []
    damaged = DamagedFiles()
    trained: list[TrainedVideo] = []
    names: dict[str, set[str]] = {"train": set(), "validation": set(), "test": set()}
    for labels in _labelled_persons(data.labels, tasks):
        split = labels[0].split
        if split in names:
            names[split] |= names_in(labels)
        if split not in windows:
            continue
        try:
            video, file = _find_sound(data.sounds, labels[0].subject)
            track = _read_voice(folder, extractor, labels[0].subject, video)
        except UserError as error:
            skipped.append(str(error))
            continue
        except DamagedTrackError as error:
            damaged.errors.append(error)
            continue
        cut = list(_cut_windows(file, labels, track, clock))
        windows[split] += cut
        if cut and split == "train":
            trained.append(TrainedVideo.from_labels(labels[0]))
    damaged.refuse()
    if skipped and not skips:
        advice = f"{count_noun(len(skipped), 'labelled video')} cannot be used; leave out with --set missing=skip:"
        raise UserError(skipped[0] if len(skipped) == 1 else advice + list_bounded(skipped))
    for name, those in windows.items():
        if not those:
            raise UserError(
                f"{data.labels}: no window of 2 s and more with labels of {name} in which somebody speaks; "
                f"the tracks of {extractor} tell where"
            )
    warn_of_shared(names)
    return VoiceSets(
        training=tuple(windows["train"]),
        validation=tuple(windows["validation"]),
        skipped=tuple(skipped),
        trained=tuple(trained),
    )


def _labelled_persons(labels: Path, tasks: Sequence[str]) -> Iterator[tuple[LabelTrack, ...]]:
    """Yield the label tracks of each person that has them for every task, in the order of tasks."""
    first, *others = [{track.subject: track for track in list_label_tracks(labels, find_task(task))} for task in tasks]
    for subject, track in first.items():
        if all(subject in other for other in others):
            yield track, *(other[subject] for other in others)


def _find_sound(sounds: Mapping[str, Path], subject: TrackSubject) -> tuple[str, Path]:
    """Return name and file of a video; `_left` and `_right` are persons of one file."""
    for name in (subject.video_id, _SIDE.sub("", subject.video_id)):
        if name in sounds:
            return name, sounds[name]
    raise UserError(f"{subject}: has labels, and there is no file of its sound")


def _read_voice(folder: TrackFolder, extractor: str, subject: TrackSubject, name: str) -> FeatureTrack:
    """Return a person's voice track, or that of the whole file."""
    try:
        return folder.read(extractor, subject, width=1)
    except MissingTrackError:
        return folder.read(extractor, TrackSubject(source=subject.source, video_id=name), width=1)


def _cut_windows(file: Path, labels: Sequence[LabelTrack], track: FeatureTrack, clock: Clock) -> Iterator[VoiceWindow]:
    """Yield the windows of a person. Raises OtherTrackError where rates of labels and voice differ."""
    for each in labels[1:]:
        named = f"labels {labels[0].task.name}"
        check_same_rate(f"labels {each.task.name} of {each.subject}", each.fps, named, labels[0].fps)
    check_same_rate(f"{track.extractor.name} track of {track.subject}", track.fps, "its labels", labels[0].fps)
    frames = max(int(each.frames_N[-1]) if len(each.frames_N) else 0 for each in labels)
    valid_N = np.ones(frames, bool)
    dense: dict[str, npt.NDArray[np.float32]] = {}
    for each in labels:
        values_NK = np.full((frames, each.values_NK.shape[1]), np.nan, np.float32)
        values_NK[each.frames_N - 1] = each.values_NK
        valid_N &= np.isfinite(values_NK).all(1)
        dense[each.task.name] = values_NK
    for segment in training_segments(open_frames(track, frames), valid_N, labels[0].fps, clock=clock):
        affect = dense["va"][segment.label_rows] if "va" in dense else None
        expressions = None
        if "expr" in dense:
            whole_N = np.nan_to_num(dense["expr"][:, 0], nan=MISSING_CLASS).astype(np.int64)
            expressions = expression_labels(whole_N, segment)
        yield VoiceWindow(file=file, segment=segment, affect_S2=affect, expressions_W=expressions)
