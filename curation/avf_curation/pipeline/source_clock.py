"""The frames of a source as its owners number them, and the labels of frames that belong to a clip."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from avf_shards.schema.frame_labels import SourceFrames
from avf_shards.schema.labels import Labels
from avf_shards.system.storage_faults import retry_read
from avf_shards.timeline import FRAMES_PER_SECOND, Span

from avf_curation.media.image_files import list_images
from avf_curation.media.types import VideoTrack
from avf_curation.sources.types import Video

log = logging.getLogger(__name__)
_TIME_DECIMALS = 6


@dataclass(frozen=True, kw_only=True)
class SourceClock:
    """Numbers and times of the frames of one input."""

    numbers_N: npt.NDArray[np.int64]  # rising, from 1; of images those in their names, which may have holes
    times_s_N: npt.NDArray[np.float64]  # when each is presented, in seconds after frame 0
    entries_T: npt.NDArray[np.int64]  # entry of the frame that is shown at each index of the timeline

    def frames_of(self, span: Span) -> tuple[SourceFrames, bool]:
        """Return the source's frames in a span, and whether the last one of the video is among them.

        A frame that no index shows belongs to the span that its time lies in.
        """
        shown_T = self.entries_T[span.start_frame : span.stop_frame]
        last = len(self.numbers_N) - 1
        if span.stop_frame < len(self.entries_T):
            last = max(int(shown_T[-1]), int(self.entries_T[span.stop_frame]) - 1)
        inside = slice(int(shown_T[0]), last + 1)
        frames = SourceFrames(
            numbers=tuple(self.numbers_N[inside].tolist()),
            times_s=tuple(round(time_s, _TIME_DECIMALS) for time_s in self.times_s_N[inside].tolist()),
            shown=tuple(self.numbers_N[shown_T].tolist()),
        )
        return frames, last == len(self.numbers_N) - 1


def read_source_clock(video: Video, root: Path, track: VideoTrack | None, start_s: float) -> SourceClock | None:
    """Return the clock of an input that has labels of frames; None for any other. Raises OSError.

    Args:
        track: None where no span of the input came as far as to become a clip.
        start_s: time of frame 0 on the clock of the file.
    """
    if track is None or video.labels is None or not video.labels.frames:
        return None
    times_s_N, path = track.source_times_s, root / video.path
    numbers_N = np.arange(1, len(times_s_N) + 1)
    if retry_read(path.is_dir, path):
        images = np.asarray(retry_read(lambda: list_images(path), path).numbers, np.int64)
        # By time, as an image that does not decode has no frame.
        numbers_N = images[np.rint((times_s_N + start_s) * FRAMES_PER_SECOND).astype(np.int64)]
    for task, labels in video.labels.frames.items():
        if labels.total != numbers_N[-1]:
            name = f"{video.source}/{video.video_id}"
            log.info("%s: %d labels of %s, the last frame is %d", name, labels.total, task, numbers_N[-1])
    return SourceClock(numbers_N=numbers_N, times_s_N=times_s_N, entries_T=track.source_entries)


def cut_labels(labels: Labels | None, clock: SourceClock | None, span: Span) -> Labels | None:
    """Return the labels of a clip: those of single frames and what was forged, only of the frames in its span.

    Labels of frames behind the last frame of the video go with the clip that has this frame, so that none is lost.
    """
    if labels is not None and labels.forgery is not None:
        start_s, stop_s = span.start_frame / FRAMES_PER_SECOND, span.stop_frame / FRAMES_PER_SECOND
        labels = replace(labels, forgery=labels.forgery.cut(start_s, stop_s))
    if labels is None or clock is None:
        return labels
    frames, is_end = clock.frames_of(span)
    last = None if is_end else frames.numbers[-1]
    cut = {task: values.cut(frames.numbers[0], last) for task, values in labels.frames.items()}
    return replace(labels, frames=cut, source_frames=frames)
