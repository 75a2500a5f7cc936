"""The answers of several members for the same frames of a video. M members, N frames, D outputs."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from avf_training.evaluation.metrics import Floats
from avf_training.framewise.labels.tasks import FrameLabelTask
from avf_training.framewise.postprocessing.timeline import average_same_times, interpolate_to_times
from avf_training.framewise.predictions.likelihoods import to_likelihoods
from avf_training.framewise.sampling.frame_rate import rounded_frame_times
from avf_training.framewise.tracks.feature_track import FeatureTrack
from avf_training.framewise.tracks.frame_rates import check_same_rate


@dataclass(frozen=True, kw_only=True)
class AlignedVideo:
    """A video as several members see it."""

    fps: float  # of the video
    frames_N: npt.NDArray[np.int64]  # numbers in the video, from 1, rising
    times_s_N: Floats  # in seconds of the video
    likelihoods_MND: Floats  # of each member
    interpolated: int  # frames that some member has no prediction of, between two that it has
    repeated: int  # frames before the first or behind the last prediction of some member, or in a gap too long
    longest_gap_s: float  # between two predictions of a member
    inputs_sha256: str  # of the members' tracks


def align_tracks(
    task: FrameLabelTask,
    tracks: Sequence[FeatureTrack],
    frames: Literal["every", "predicted"],
    most_interpolated_s: float | None = None,
    clock: Literal["frames", "hundredths"] = "frames",
) -> AlignedVideo:
    """Return the likelihoods of all members for the same frames.

    Between predictions of a member a straight line over frame numbers is taken, and outside of them its first or last.

    Args:
        task: of the predictions.
        tracks: of the members.
        frames: every one from 1 to the last prediction, or those that some member has a prediction of.
        most_interpolated_s: longest gap that a line is drawn through; in longer ones the prediction before holds.
        clock: what lines are drawn over: numbers of frames, or times rounded to hundredths of a second, which equals
            SUN's grid of 10 ms.

    Raises OtherTrackError for tracks of one video whose frame rates differ.
    """
    fps = tracks[0].fps
    for track in tracks[1:]:
        check_same_rate(f"{track.extractor.name} track of {track.subject}", track.fps, tracks[0].extractor.name, fps)
    known_K = np.unique(np.concatenate([track.frames_N for track in tracks]))
    times_s_K = np.empty(len(known_K))
    for track in reversed(tracks):  # the first member's times count where several have a frame
        times_s_K[np.searchsorted(known_K, track.frames_N)] = track.times_s_N
    times_s_K = np.maximum.accumulate(times_s_K)
    frames_N = np.arange(1, known_K[-1] + 1) if frames == "every" else known_K
    times_s_N = _extend_times(frames_N, known_K, times_s_K, fps)
    inside, outside = np.zeros(len(frames_N), bool), np.zeros(len(frames_N), bool)
    most_frames = np.inf if most_interpolated_s is None else most_interpolated_s * fps
    likelihoods, longest = [], 0
    for track in tracks:
        missing_N = ~np.isin(frames_N, track.frames_N)
        gaps_N = _gaps_around(frames_N, track.frames_N)
        outside_N = (frames_N < track.frames_N[0]) | (frames_N > track.frames_N[-1]) | (gaps_N > most_frames)
        inside |= missing_N & ~outside_N
        outside |= outside_N
        longest = max(longest, int(np.diff(track.frames_N, prepend=track.frames_N[0] - 1).max()) - 1)
        known_ND = to_likelihoods(task, track.vectors_ND)
        if clock == "hundredths":
            known_s_K, distinct_KD = average_same_times(rounded_frame_times(track.frames_N, fps), known_ND)
            line_ND = interpolate_to_times(known_s_K, distinct_KD, rounded_frame_times(frames_N, fps))
        else:
            line_ND = interpolate_to_times(track.frames_N.astype(np.float64), known_ND, frames_N.astype(np.float64))
        before_N = np.maximum(0, np.searchsorted(track.frames_N, frames_N, side="right") - 1)
        likelihoods.append(np.where((gaps_N > most_frames)[:, None], known_ND[before_N], line_ND))
    return AlignedVideo(
        fps=fps,
        frames_N=frames_N,
        times_s_N=times_s_N,
        likelihoods_MND=np.stack(likelihoods),
        interpolated=int(inside.sum()),
        repeated=int(outside.sum()),
        longest_gap_s=longest / fps,
        inputs_sha256=digest_members(tracks),
    )


def digest_members(tracks: Sequence[FeatureTrack]) -> str:
    """Return the SHA-256 of what an answer is made of: the members' models, and what each has looked at."""
    sources = "\n".join(f"{track.extractor.digest} {track.inputs_sha256}" for track in tracks)
    return hashlib.sha256(sources.encode()).hexdigest()


def _gaps_around(frames_N: npt.NDArray[np.int64], known_K: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return how many frames are missing in the gap that each frame is in; 0 for known frames and outside of them."""
    after_N = np.searchsorted(known_K, frames_N)
    within_N = (after_N > 0) & (after_N < len(known_K))
    after_N = np.clip(after_N, 1, max(1, len(known_K) - 1))
    ends_N = known_K[np.minimum(after_N, len(known_K) - 1)]
    return np.where(within_N & (ends_N != frames_N), ends_N - known_K[after_N - 1] - 1, 0)


def _extend_times(
    frames_N: npt.NDArray[np.int64], known_K: npt.NDArray[np.int64], times_s_K: Floats, fps: float
) -> Floats:
    """Return times of frames: between known ones on a straight line, before the first by the frame rate."""
    times_s_N = np.interp(frames_N, known_K, times_s_K)
    return np.asarray(times_s_N - np.maximum(0, known_K[0] - frames_N) / fps)
