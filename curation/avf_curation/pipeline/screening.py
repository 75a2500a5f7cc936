"""Screening: one decode of the whole video feeds the cut detectors and keeps a few frames per shot for the faces."""

from contextlib import closing
from dataclasses import dataclass

from avf_shards.timeline import Span

from avf_curation.detectors.dlib_faces import DlibFaceDetector
from avf_curation.detectors.shot_boundaries import ShotBoundaryDetector
from avf_curation.media.decode import FrameConverter, MediaFile
from avf_curation.media.prefetch import prefetch_items
from avf_curation.media.types import Bytes, MediaError, VideoTrack
from avf_curation.stages.faces import Box, FacesConfig, sample_indices
from avf_curation.stages.scenes import ScenesConfig

_HELD = 32  # frames kept per shot at most; when full, every second one goes


@dataclass(frozen=True, kw_only=True)
class ScreenedShot:
    """A stretch without a cut, and the faces in its sampled frames (None: too short to be looked at)."""

    span: Span
    faces: tuple[tuple[Box, ...], ...] | None


class _Sampler:
    """Holds frames of the running shot at a stride that doubles when there are too many: bounded, evenly spread."""

    def __init__(self, side_px: int, converter: FrameConverter) -> None:
        self._side_px, self._converter = side_px, converter
        self._stride = 4
        self.held: dict[int, tuple[Bytes, float]] = {}

    def offer(self, index: int, frame: object) -> None:
        if index % self._stride:
            return
        self.held[index] = self._converter.long_side(frame, self._side_px, "gray")
        if len(self.held) > _HELD:
            self._stride *= 2
            self.held = {i: kept for i, kept in self.held.items() if i % self._stride == 0}

    def restart(self, cut: int) -> None:
        """Go on with the shot that starts at `cut`."""
        self.held = {i: kept for i, kept in self.held.items() if i >= cut}
        self._stride = 4


def screen_shots(
    media: MediaFile, scenes: ScenesConfig, faces: FacesConfig, detector: DlibFaceDetector, look_for_faces: bool = True
) -> tuple[VideoTrack, list[ScreenedShot]]:
    """Decode `media` once. Its timeline, and its shots up to where decoding ends. Raises MediaError."""
    converter, cuts = FrameConverter(), ShotBoundaryDetector(scenes)
    sampler = _Sampler(faces.side_px, converter)
    found: list[ScreenedShot] = []
    start = index = 0
    small: Bytes | None = None

    def close(stop: int) -> None:
        nonlocal start
        span = Span(start, stop)
        looked: tuple[tuple[Box, ...], ...] | None = None
        if span.seconds >= scenes.min_shot_s and look_for_faces:
            mine = {i: kept for i, kept in sampler.held.items() if start <= i < stop}
            chosen = sample_indices(start, stop, sorted(mine), faces.samples)
            looked = tuple(tuple(detector.find(*mine[i], faces.upsample, faces.min_score)) for i in chosen)
        found.append(ScreenedShot(span=span, faces=looked))
        sampler.restart(stop)
        start = stop

    with closing(prefetch_items(media.frames())) as frames:
        for at in frames:
            index = at.index
            if small is None or not at.repeated:
                small, _ = converter.long_side(at.frame, scenes.width_px, "bgr24")
            if look_for_faces:
                sampler.offer(index, at.frame)
            for cut in cuts.feed(index, small):
                if cut > start:
                    close(cut)
    for cut in cuts.finish():
        if start < cut <= index:
            close(cut)
    close(index + 1)
    if media.picture is None:
        raise MediaError("decode", "the timeline was not finished")
    return media.picture, found
