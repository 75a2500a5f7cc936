"""Screen a video: one decode of all of it feeds the cut detectors and samples frames for the face search."""

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, replace

from avf_shards.timeline import Span

from avf_curation.detectors.dissolves import MAX_DELAY
from avf_curation.detectors.dlib_faces import DlibFaceDetector
from avf_curation.detectors.face_finders import FaceFinder
from avf_curation.detectors.turned_faces import measure_turned_share
from avf_curation.media.decode import MediaFile
from avf_curation.media.frame_converter import FrameConverter
from avf_curation.media.picture_format import display_size
from avf_curation.media.prefetch import prefetch_items
from avf_curation.media.types import Bytes, MediaError, VideoTrack
from avf_curation.pipeline.shot_ends import WHOLE_SEARCH, ShotEnd, ShotEnds, ShotSearch
from avf_curation.stages.faces import Box, FacesConfig, sample_indices
from avf_curation.stages.scenes import ScenesConfig

_MAX_SAMPLED_FRAMES = 32  # frames kept per shot; when there are more, every second one is dropped
_FIRST_STRIDE = 4  # frames between two sampled frames at the start of a shot
_RECENT_STRIDE = 8  # frames between two of the latest frames, which may belong to the next shot


@dataclass(frozen=True, kw_only=True)
class ScreenedShot:
    """A stretch of video without a cut."""

    span: Span  # frame range on the 25 fps timeline
    faces: tuple[tuple[Box, ...], ...] | None  # faces in each sampled frame; None: the shot is too short for a search
    sampled: tuple[int, ...] = ()  # indices of the sampled frames, ascending
    turned_share: float = 0.0  # share of the sampled frames whose face is upside down or lies on its side
    dissolve: float = 0.0  # share of the change of the picture that a mixture explains; 0: the shot is no dissolve
    transition: float = 0.0  # probability that the shot is a change of shots; 0: it is none

    def part(self, span: Span) -> "ScreenedShot":
        """Return a part of the shot with the faces that were sampled in it; where there are none, with all of them."""
        if span == self.span:
            return self
        first, end = bisect_left(self.sampled, span.start_frame), bisect_left(self.sampled, span.stop_frame)
        if self.faces is None or first == end:
            return replace(self, span=span)
        return replace(self, span=span, faces=self.faces[first:end], sampled=self.sampled[first:end])


class _FrameSampler:
    """Keeps evenly spread frames of the shot that is being decoded, without knowing how long the shot will be.

    The stride doubles when there are too many frames, so the memory is bounded.
    """

    def __init__(self, side_px: int, converter: FrameConverter, pixel_format: str) -> None:
        self._side_px, self._converter, self._pixel_format = side_px, converter, pixel_format
        self._stride = _FIRST_STRIDE
        self.sampled: dict[int, tuple[Bytes, float]] = {}  # index -> frame and its scale to the source
        #: The latest frames: where a shot ends is known so many frames later.
        self._recent: deque[tuple[int, tuple[Bytes, float]]] = deque(maxlen=MAX_DELAY // _RECENT_STRIDE)

    def offer(self, index: int, frame: object) -> None:
        """Keep a frame if its index is a multiple of the stride."""
        if index % self._stride and index % _RECENT_STRIDE:
            return
        small = self._converter.long_side(frame, self._side_px, self._pixel_format)
        if index % _RECENT_STRIDE == 0:
            self._recent.append((index, small))
        if index % self._stride == 0:
            self.sampled[index] = small
            self._thin_out()

    def start_shot(self, first_index: int) -> None:
        """Keep only frames of the shot that begins at `first_index`."""
        frames = self.sampled | dict(self._recent)
        self.sampled = {i: frames[i] for i in sorted(frames) if i >= first_index}
        self._stride = _FIRST_STRIDE
        self._thin_out()

    def _thin_out(self) -> None:
        while len(self.sampled) > _MAX_SAMPLED_FRAMES:
            self._stride *= 2
            self.sampled = {i: frame for i, frame in self.sampled.items() if i % self._stride == 0}


def _search_shot(
    span: Span, sampler: _FrameSampler, finder: FaceFinder, dlib: DlibFaceDetector | None, config: FacesConfig
) -> ScreenedShot:
    """Return a shot with the faces of its sampled frames, and how many of them are turned."""
    # Cuts are reported a few frames late, so the sampler may hold frames of the next shot already.
    available = [index for index in sorted(sampler.sampled) if span.start_frame <= index < span.stop_frame]
    indices = sample_indices(span.start_frame, span.stop_frame, available, config.samples)
    images = [sampler.sampled[index][0] for index in indices]
    if not images:
        return ScreenedShot(span=span, faces=())
    scale = sampler.sampled[indices[0]][1]
    boxes = finder.find(images, scale, config)
    turned_share = 0.0 if dlib is None else measure_turned_share(images, boxes, scale, dlib)
    return ScreenedShot(span=span, faces=tuple(map(tuple, boxes)), sampled=tuple(indices), turned_share=turned_share)


def screen_shots(
    media: MediaFile,
    scenes: ScenesConfig,
    faces: FacesConfig,
    finder: FaceFinder | None,
    *,
    dlib: DlibFaceDetector | None = None,
    search: ShotSearch = WHOLE_SEARCH,
) -> tuple[VideoTrack, list[ScreenedShot]]:
    """Decode `media` once. Return its timeline, and its shots up to where decoding ends. Raises MediaError.

    Args:
        media: the open input.
        scenes: settings of the search for cuts.
        faces: settings of the search for faces.
        finder: finds the faces; None leaves the shots without.
        dlib: tells whether faces are turned; None: that is not asked.
        search: what the detectors that `scenes` names may do, and have.
    """
    converter, ends = FrameConverter(), ShotEnds(scenes, first_index=0, search=search)
    sampler = _FrameSampler(faces.side_px, converter, "gray" if finder is None else finder.pixel_format)
    shots: list[ScreenedShot] = []
    start = index = 0
    size: tuple[int, int] | None = None

    def close_shot(stop: int, dissolve: float = 0.0, transition: float = 0.0) -> None:
        nonlocal start
        if stop <= start:
            return
        span = Span(start, stop)
        if finder is None or dissolve or transition or span.seconds < scenes.min_shot_s:
            shots.append(ScreenedShot(span=span, faces=None, dissolve=dissolve, transition=transition))
        else:
            shots.append(_search_shot(span, sampler, finder, dlib, faces))
        sampler.start_shot(stop)
        start = stop

    def close_shots(ends: Iterable[ShotEnd], last: int) -> None:
        for end in ends:
            if end.stop_frame <= last:  # two detectors may report the same cut
                close_shot(end.stop_frame, end.dissolve, end.transition)

    # Decoding runs ahead in a thread; closing stops the thread when a detector raises.
    with closing(prefetch_items(media.frames())) as timeline:
        for timeline_frame in timeline:
            index = timeline_frame.index
            if not timeline_frame.repeated and (new_size := display_size(timeline_frame.frame)) != size:
                if size is not None:  # one crop window cannot fit two picture sizes, so the shot ends here
                    close_shots(ends.finish(), index)
                    close_shot(index)
                    # The detectors compare frames of one size.
                    ends = ShotEnds(scenes, first_index=index, search=search)
                size = new_size
            if finder is not None:
                sampler.offer(index, timeline_frame.frame)
            small = None
            if not timeline_frame.repeated:
                small, _ = converter.long_side(timeline_frame.frame, scenes.width_px, "bgr24")
            close_shots(ends.feed(index, small), index)
    close_shots(ends.finish(), index + 1)
    close_shot(index + 1)
    if media.video_track is None:
        raise MediaError("decode", "the timeline was not finished")
    return media.video_track, shots
