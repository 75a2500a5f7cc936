"""Screen a video: one decode of all of it feeds the cut detectors and samples frames for the face search."""

from bisect import bisect_left
from contextlib import closing
from dataclasses import dataclass

from avf_shards.timeline import Span

from avf_curation.detectors.dlib_faces import DlibFaceDetector
from avf_curation.detectors.shot_boundaries import ShotBoundaryDetector
from avf_curation.media.decode import MediaFile
from avf_curation.media.frame_converter import FrameConverter
from avf_curation.media.picture_format import display_size
from avf_curation.media.prefetch import prefetch_items
from avf_curation.media.types import Bytes, MediaError, VideoTrack
from avf_curation.stages.faces import Box, FacesConfig, sample_indices
from avf_curation.stages.scenes import ScenesConfig

_MAX_SAMPLED_FRAMES = 32  # frames kept per shot; when there are more, every second one is dropped
_FIRST_STRIDE = 4  # frames between two sampled frames at the start of a shot


@dataclass(frozen=True, kw_only=True)
class ScreenedShot:
    """A stretch of video without a cut."""

    span: Span  # frame range on the 25 fps timeline
    faces: tuple[tuple[Box, ...], ...] | None  # faces in each sampled frame; None: the shot is too short for a search
    sampled: tuple[int, ...] = ()  # indices of the sampled frames, ascending

    def part(self, span: Span) -> "ScreenedShot":
        """Return a part of the shot with the faces that were sampled in it; where there are none, with all of them."""
        if span == self.span:
            return self
        first, end = bisect_left(self.sampled, span.start_frame), bisect_left(self.sampled, span.stop_frame)
        if self.faces is None or first == end:
            return ScreenedShot(span=span, faces=self.faces, sampled=self.sampled)
        return ScreenedShot(span=span, faces=self.faces[first:end], sampled=self.sampled[first:end])


class _FrameSampler:
    """Keeps evenly spread frames of the shot that is being decoded, without knowing how long the shot will be.

    The stride doubles when there are too many frames, so the memory is bounded.
    """

    def __init__(self, side_px: int, converter: FrameConverter) -> None:
        self._side_px, self._converter = side_px, converter
        self._stride = _FIRST_STRIDE
        self.sampled: dict[int, tuple[Bytes, float]] = {}  # index -> grey frame and its scale to the source

    def offer(self, index: int, frame: object) -> None:
        """Keep a frame if its index is a multiple of the stride."""
        if index % self._stride:
            return
        self.sampled[index] = self._converter.long_side(frame, self._side_px, "gray")
        if len(self.sampled) > _MAX_SAMPLED_FRAMES:
            self._stride *= 2
            self.sampled = {i: frame for i, frame in self.sampled.items() if i % self._stride == 0}

    def start_shot(self, first_index: int) -> None:
        """Keep only frames of the shot that begins at `first_index`."""
        self.sampled = {i: frame for i, frame in self.sampled.items() if i >= first_index}
        self._stride = _FIRST_STRIDE


def screen_shots(
    media: MediaFile, scenes: ScenesConfig, faces: FacesConfig, detector: DlibFaceDetector, find_faces: bool = True
) -> tuple[VideoTrack, list[ScreenedShot]]:
    """Decode `media` once. Return its timeline, and its shots up to where decoding ends. Raises MediaError."""
    converter, boundaries = FrameConverter(), ShotBoundaryDetector(scenes)
    sampler = _FrameSampler(faces.side_px, converter)
    shots: list[ScreenedShot] = []
    start = index = 0
    size: tuple[int, int] | None = None

    def close_shot(stop: int) -> None:
        nonlocal start
        span = Span(start, stop)
        boxes: tuple[tuple[Box, ...], ...] | None = None
        indices: tuple[int, ...] = ()
        if span.seconds >= scenes.min_shot_s and find_faces:
            # Cuts are reported a few frames late, so the sampler may hold frames of the next shot already.
            frames = {i: frame for i, frame in sampler.sampled.items() if start <= i < stop}
            indices = tuple(sample_indices(start, stop, sorted(frames), faces.samples))
            boxes = tuple(tuple(detector.detect(*frames[i], faces.upsample, faces.min_score)) for i in indices)
        shots.append(ScreenedShot(span=span, faces=boxes, sampled=indices))
        sampler.start_shot(stop)
        start = stop

    def close_cuts(cuts: list[int], last: int) -> None:
        for cut in cuts:
            if start < cut <= last:  # two detectors may report the same cut
                close_shot(cut)

    # Decoding runs ahead in a thread; closing stops the thread when a detector raises.
    with closing(prefetch_items(media.frames())) as timeline:
        for timeline_frame in timeline:
            index = timeline_frame.index
            if not timeline_frame.repeated and (new_size := display_size(timeline_frame.frame)) != size:
                if size is not None:  # one crop window cannot fit two picture sizes, so the shot ends here
                    close_cuts(boundaries.finish(), index - 1)
                    close_shot(index)
                    boundaries = ShotBoundaryDetector(scenes)  # the detectors compare frames of one size
                size = new_size
            if find_faces:
                sampler.offer(index, timeline_frame.frame)
            if timeline_frame.repeated:
                continue
            small_frame, _ = converter.long_side(timeline_frame.frame, scenes.width_px, "bgr24")
            close_cuts(boundaries.feed(index, small_frame), index)
    close_cuts(boundaries.finish(), index)
    close_shot(index + 1)
    if media.video_track is None:
        raise MediaError("decode", "the timeline was not finished")
    return media.video_track, shots
