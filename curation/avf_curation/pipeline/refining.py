"""Refining: the survivors of screening are decoded again, span by span: track, sync, quality, and the clip itself."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from avf_shards.timeline import Span
from scipy.signal import medfilt

from avf_curation.detectors import envelope_sync, overlay
from avf_curation.detectors.detector_set import Detectors
from avf_curation.media import crop, encode
from avf_curation.media.decode import MediaFile
from avf_curation.media.types import AudioTrack, Bytes, Samples
from avf_curation.recipe import SourceSettings
from avf_curation.sources.types import Side
from avf_curation.stages import quality, sync, tracking
from avf_curation.stages.faces import Box


@dataclass(frozen=True, kw_only=True)
class DetectorFrames:
    """A span's pictures shrunk for the detector, (T, h, w, 3) BGR, and their scale."""

    span: Span
    pictures: list[Bytes]
    scale: float
    width_px: int
    height_px: int

    def grey(self, config: quality.QualityConfig) -> tuple[list[Bytes], float]:
        """Every n-th picture in grey at the quality stage's size, and its scale to the source."""
        height, width = self.pictures[0].shape[:2]
        shrink = min(1.0, config.side_px / max(height, width))
        size = max(16, round(width * shrink)), max(16, round(height * shrink))
        chosen = [crop.to_grey(picture) for picture in self.pictures[:: config.every]]
        return [crop.resize_grey(one, *size) for one in chosen], self.scale * size[0] / width


@dataclass(frozen=True, kw_only=True)
class FaceCrops:
    """face_THWC: the clip's frames, BGR. sync_THWC: SyncNet's own crop, where SyncNet runs."""

    face_THWC: Bytes
    sync_THWC: Bytes | None


def decode_for_detector(media: MediaFile, span: Span, side_px: int, tools: Detectors) -> DetectorFrames:
    """Decode `span` for the detector. Raises MediaError."""
    assert media.picture is not None
    pictures, scale = [], 1.0
    before = None
    for frame in media.read(span):
        if frame is not before:
            picture, scale = tools.converter.long_side(frame, side_px, "bgr24")
            before = frame
        pictures.append(picture)
    return DetectorFrames(
        span=span, pictures=pictures, scale=scale, width_px=media.picture.width_px, height_px=media.picture.height_px
    )


def track_faces(
    seen: DetectorFrames, tools: Detectors, config: tracking.TrackConfig, side: Side | None = None
) -> list[tracking.Track]:
    """Track the face through the span, or each face; none when there is none. side: half of the picture to look in."""

    def detect(frames: Sequence[int]) -> list[list[Box]]:
        found = tools.faces([seen.pictures[i] for i in frames], seen.scale, config)
        if side is None:
            return found
        middle_px = seen.width_px / 2
        return [[box for box in one if ((box.left + box.right) / 2 < middle_px) == (side == "left")] for one in found]

    return tracking.measure(len(seen.pictures), detect, seen.width_px, seen.height_px, config)


def crop_clip(
    media: MediaFile,
    seen: DetectorFrames,
    found: tracking.Track,
    settings: SourceSettings,
    tools: Detectors,
    *,
    with_sync: bool,
) -> FaceCrops:
    """Crop the clip and, for SyncNet, the authors' face crop. Decodes again unless the detector saw full size."""
    if seen.scale == 1.0:
        full = iter(seen.pictures)
    else:
        size = seen.width_px, seen.height_px
        full = (tools.converter.array(frame, *size, "bgr24") for frame in media.read(seen.span))
    half_T, x_T, y_T = _syncnet_path(found, settings.sync.crop_median)
    faces, lips = [], []
    for t, frame_HWC in enumerate(full):
        x, y = found.window.centres_T2[t]
        faces.append(crop.crop_square(frame_HWC, (x, y), found.window.side_px, settings.clip.size_px))
        if with_sync:
            padding, scale = settings.sync.crop_padding, settings.sync.crop_scale
            lips.append(crop.crop_for_syncnet(frame_HWC, (x_T[t], y_T[t]), half_T[t], scale, padding))
    return FaceCrops(face_THWC=np.stack(faces), sync_THWC=np.stack(lips) if with_sync else None)


def _syncnet_path(found: tracking.Track, median: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Half sides and centres of the face boxes, median-filtered over time as SyncNet's authors do."""
    boxes = found.boxes_T4
    half = np.max(boxes[:, 2:] - boxes[:, :2], axis=1) / 2
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    return medfilt(half, median), medfilt(centres[:, 0], median), medfilt(centres[:, 1], median)


def score_sync(
    crops: FaceCrops, found: tracking.Track, samples: Samples, config: sync.SyncConfig, tools: Detectors
) -> sync.SyncScores:
    """Offset and confidence by the run's sync backend; None where the clip is too short to tell."""
    frames = len(crops.face_THWC)
    seconds = frames / 25
    if tools.syncnet is not None and crops.sync_THWC is not None:
        if seconds < config.min_seconds:
            return sync.SyncScores(
                backend="syncnet", offset_frames=None, confidence=None, distance=None, length_s=seconds
            )
        one = tools.syncnet.score(
            crops.sync_THWC, samples, shifts=config.shifts, every=config.every, official=config.official
        )
        return sync.SyncScores(
            backend="syncnet",
            offset_frames=one.offset,
            confidence=one.confidence,
            distance=one.distance,
            length_s=seconds,
        )
    told = None
    if seconds >= config.envelope_min_seconds:
        told = envelope_sync.score_envelope_sync(
            envelope_sync.mouth_patches(crops.face_THWC, mouth_position(crops, found)), samples, config.shifts
        )
    if told is None:
        return sync.SyncScores(backend="envelope", offset_frames=None, confidence=None, distance=None, length_s=seconds)
    return sync.SyncScores(
        backend="envelope",
        offset_frames=told.offset,
        confidence=told.confidence,
        distance=None,
        length_s=seconds,
        mouth_motion=told.mouth_motion,
    )


def mouth_position(crops: FaceCrops, found: tracking.Track) -> envelope_sync.MouthPosition:
    """Where the mouth is in the clip's own frames."""
    size = crops.face_THWC.shape[1]
    scale = size / found.window.side_px
    sides_T2 = (found.boxes_T4[:, 2:] - found.boxes_T4[:, :2]) * scale
    width, height = (float(v) for v in np.median(sides_T2, axis=0))

    def inside(points_T2: np.ndarray) -> np.ndarray:
        return np.asarray((points_T2 - found.window.centres_T2) * scale + size / 2)

    if found.mouths_T2 is not None:
        return envelope_sync.mouth_from_landmarks(inside(found.mouths_T2), width)
    return envelope_sync.mouth_from_box(inside((found.boxes_T4[:, :2] + found.boxes_T4[:, 2:]) / 2), width, height)


def score_quality(
    seen: DetectorFrames, crops: FaceCrops, found: tracking.Track, config: quality.QualityConfig
) -> tuple[quality.QualityScores, tuple[Bytes, ...]]:
    """Quality scores of the span, and two of its pictures for the pooled watermark."""
    grey_THW = np.stack([crop.to_grey(frame) for frame in crops.face_THWC])
    pictures, scale = seen.grey(config)
    shown = overlay.find_overlay(pictures) if seen.span.seconds >= config.watermark_min_s else None
    scores = quality.QualityScores(
        sharpness=float(np.median([crop.sharpness(one) for one in grey_THW[:: config.every]])),
        frozen_s=quality.frozen_s(grey_THW, config.frozen_level),
        black_share=quality.black_share(grey_THW, config.black_level),
        bars=quality.bars_in_window(pictures, scale, found.window),
        overlay_px=None if shown is None else float(shown.edge_px),
    )
    third = len(pictures) // 3
    return scores, (pictures[third], pictures[-1 - third])


def encode_clip(
    crops: FaceCrops, sound: AudioTrack, span: Span, shift_frames: int, settings: SourceSettings
) -> dict[str, bytes]:
    """The clip's media by extension."""
    samples = sound.cut(span, shift_frames)
    if settings.clip.codec == "jpeg":
        return {
            "frames": encode.encode_packed_jpeg(crops.face_THWC, settings.clip),
            "flac": encode.encode_flac(samples),
        }
    return {"mp4": encode.encode_mp4(crops.face_THWC, settings.clip), "flac": encode.encode_flac(samples)}
