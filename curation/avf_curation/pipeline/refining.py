"""The measurements of refining on one span: track, crop, sync, quality, and the encoded clip."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
from avf_shards.timeline import FRAMES_PER_SECOND, Span
from scipy.signal import medfilt

from avf_curation.detectors import (
    blurred_bars,
    burnt_in_text,
    envelope_sync,
    face_blend,
    mouth,
    overlay,
    still_picture,
    still_text,
)
from avf_curation.detectors.detector_set import Detectors
from avf_curation.media import crop, encode
from avf_curation.media.decode import MediaFile
from avf_curation.media.types import AudioTrack, Bytes, Samples
from avf_curation.recipe import SourceSettings
from avf_curation.sources.types import Side
from avf_curation.stages import quality, sync, tracking
from avf_curation.stages.faces import Box
from avf_curation.stages.identity import EmbedFaces

View = Literal["syncnet", "lr-asd"]  # networks that have a crop of their own
_IDENTITY_SIDE_PX, _IDENTITY_SCALE = 192, 1.5  # of the picture of a face that is embedded; its side over the box's
_MIN_QUALITY_SIDE_PX = 16  # of the shrunk frames of extremely wide or high videos


@dataclass(frozen=True, kw_only=True)
class DetectorFrames:
    """The frames of a span, shrunk for the face detector."""

    span: Span  # frame range on the 25 fps timeline
    frames: list[Bytes]  # (h, w, 3) BGR; repeated frames of the timeline are the same array
    scale: float  # detector pixels per pixel of the source
    width_px: int  # of the source, in square pixels
    height_px: int  # of the source, in square pixels

    def quality_frames(self, config: quality.QualityConfig) -> tuple[list[Bytes], float]:
        """Return every n-th frame in grey, shrunk to the quality stage's size, and their scale to the source."""
        height, width = self.frames[0].shape[:2]
        shrink = min(1.0, config.side_px / max(height, width))
        size = max(_MIN_QUALITY_SIDE_PX, round(width * shrink)), max(_MIN_QUALITY_SIDE_PX, round(height * shrink))
        grey_frames = [crop.to_grey(frame) for frame in self.frames[:: config.every]]
        return [crop.resize_grey(frame, *size) for frame in grey_frames], self.scale * size[0] / width


@dataclass(frozen=True, kw_only=True)
class FaceCrops:
    """The face of one track, cropped from every frame of a span."""

    face_THWC: Bytes  # the clip's frames, BGR
    #: The face from brow to chin in grey, SHARPNESS_PX wide, of frames every `quality.every`.
    faces_NHW: Bytes
    sync_THWC: Bytes | None = None  # SyncNet's own crop, BGR; None where SyncNet does not run
    speaker_THW: Bytes | None = None  # LR-ASD's own crop, grey; None where it does not run
    #: LR-ASD's embedding of the face in each frame, (T, 128), where the learned sync network reads it.
    embeddings_TV: npt.NDArray[np.float32] | None = None


@dataclass(frozen=True, kw_only=True)
class FacePath:
    """Centres and sizes of a face in each frame, filtered over time as SyncNet's authors do."""

    half_side_T: np.ndarray  # of the longer side of the box, in source pixels
    x_T: np.ndarray  # of the box's centre
    y_T: np.ndarray

    def crop(self, frame_HWC: Bytes, t: int) -> Bytes:
        """Return LR-ASD's crop of frame t, (112, 112) grey."""
        return crop.crop_for_lr_asd(frame_HWC, (self.x_T[t], self.y_T[t]), self.half_side_T[t])


def decode_for_detector(media: MediaFile, span: Span, side_px: int, detectors: Detectors) -> DetectorFrames:
    """Decode `span` and shrink its frames to `side_px`. Raises MediaError."""
    assert media.video_track is not None
    frames, scale = [], 1.0
    previous = None
    for source_frame in media.read(span):
        if source_frame is not previous:
            frame, scale = detectors.converter.long_side(source_frame, side_px, "bgr24")
            previous = source_frame
        frames.append(frame)
    picture = media.video_track.picture_at(span.start_frame)
    return DetectorFrames(span=span, frames=frames, scale=scale, width_px=picture.width_px, height_px=picture.height_px)


def track_faces(
    detector_frames: DetectorFrames,
    detectors: Detectors,
    config: tracking.TrackConfig,
    side: Side | None = None,
    side_share: float = 0.5,
) -> list[tracking.Track]:
    """Return the track of the largest face through the span, or of every face if the settings say so, largest first.

    The list is empty where there is no face. `side` limits the search to the left or right part of the frame, of
    which the left one has `side_share` of the width.
    """

    def detect(indices: Sequence[int]) -> list[list[Box]]:
        frames = [detector_frames.frames[i] for i in indices]
        boxes_per_frame = detectors.faces(frames, detector_frames.scale, config)
        if side is None:
            return boxes_per_frame
        border_px = detector_frames.width_px * side_share
        return [
            [box for box in boxes if ((box.left + box.right) / 2 < border_px) == (side == "left")]
            for boxes in boxes_per_frame
        ]

    frame_size = detector_frames.width_px, detector_frames.height_px
    tracks = tracking.measure(len(detector_frames.frames), detect, *frame_size, config)
    return [with_blend(track, detector_frames, config.max_blend) for track in tracks[:1]] + tracks[1:]


def with_blend(track: tracking.Track, detector_frames: DetectorFrames, max_blend: float) -> tracking.Track:
    """Return the track with the measure of whether its face turns into another one, and where."""
    frames, scale = detector_frames.frames, detector_frames.scale
    blend = face_blend.find_blend(frames, scale, track.window, min_share=max_blend)
    return replace(track, blend=blend.share, blend_frames=blend.span)


def crop_clip(
    media: MediaFile,
    detector_frames: DetectorFrames,
    track: tracking.Track,
    settings: SourceSettings,
    detectors: Detectors,
    *,
    views: Collection[View] = (),
) -> FaceCrops:
    """Crop the face of a track from the source frames, and also as the networks in `views` see it.

    Raises MediaError.
    """
    sync_path, lr_asd_path = _face_path(track, settings.sync.crop_median), speaker_path(track)
    face_crops, faces, sync_crops, speaker_crops = [], [], [], []
    for t, frame_HWC in enumerate(read_source_frames(media, detector_frames, detectors)):
        x, y = track.window.centres_T2[t]
        face_crops.append(crop.crop_square(frame_HWC, (x, y), track.window.side_px, settings.clip.size_px))
        if t % settings.quality.every == 0:
            faces.append(crop_face(frame_HWC, track, t))
        if "syncnet" in views:
            padding, scale = settings.sync.crop_padding, settings.sync.crop_scale
            centre = sync_path.x_T[t], sync_path.y_T[t]
            sync_crops.append(crop.crop_for_syncnet(frame_HWC, centre, sync_path.half_side_T[t], scale, padding))
        if "lr-asd" in views:
            speaker_crops.append(lr_asd_path.crop(frame_HWC, t))
    return FaceCrops(
        face_THWC=np.stack(face_crops),
        faces_NHW=np.stack(faces),
        sync_THWC=np.stack(sync_crops) if "syncnet" in views else None,
        speaker_THW=np.stack(speaker_crops) if "lr-asd" in views else None,
    )


def crop_face(frame_HWC: Bytes, track: tracking.Track, t: int) -> Bytes:
    """Return the face of frame `t` at the size at which sharpness is measured, in grey."""
    left, top, right, bottom = track.boxes_T4[t]
    x, y, side = Box(left=left, top=top, right=right, bottom=bottom).square
    return crop.to_grey(crop.crop_square(frame_HWC, (x, y), side, quality.SHARPNESS_PX))


def read_source_frames(media: MediaFile, detector_frames: DetectorFrames, detectors: Detectors) -> Iterator[Bytes]:
    """Yield the BGR frames of a span at full size. Raises MediaError."""
    if detector_frames.scale == 1.0:  # the detector saw full size: nothing is gained by decoding again
        yield from detector_frames.frames
        return
    size = detector_frames.width_px, detector_frames.height_px
    for frame in media.read(detector_frames.span):
        yield detectors.converter.array(frame, *size, "bgr24")


def speaker_path(track: tracking.Track) -> FacePath:
    """Return the path of a face that LR-ASD's crop follows."""
    return _face_path(track, crop.SPEAKER_MEDIAN)


def _face_path(track: tracking.Track, median: int) -> FacePath:
    boxes_T4 = track.boxes_T4
    half_side_T = np.max(boxes_T4[:, 2:] - boxes_T4[:, :2], axis=1) / 2
    centres_T2 = (boxes_T4[:, :2] + boxes_T4[:, 2:]) / 2
    return FacePath(
        half_side_T=medfilt(half_side_T, median),
        x_T=medfilt(centres_T2[:, 0], median),
        y_T=medfilt(centres_T2[:, 1], median),
    )


def face_embeddings(crops: FaceCrops, track: tracking.Track, detectors: Detectors) -> EmbedFaces:
    """Return a function that embeds the face of a track in the frames that it is given, by their numbers."""
    size_px = crops.face_THWC.shape[1]
    scale = size_px / track.window.side_px
    centres_T2 = (track.boxes_T4[:, :2] + track.boxes_T4[:, 2:]) / 2
    in_clip_T2 = (centres_T2 - track.window.centres_T2) * scale + size_px / 2
    sides_T = (track.boxes_T4[:, 2:] - track.boxes_T4[:, :2]).max(axis=1) * scale * _IDENTITY_SCALE

    def embed(numbers: Sequence[int]) -> np.ndarray:
        faces = [
            crop.crop_square(crops.face_THWC[t], tuple(in_clip_T2[t]), float(sides_T[t]), _IDENTITY_SIDE_PX)
            for t in numbers
        ]
        return np.asarray(detectors.face_embedder.embed(faces))

    return embed


def score_sync(
    crops: FaceCrops, track: tracking.Track, samples: Samples, config: sync.SyncConfig, detectors: Detectors
) -> sync.SyncScores:
    """Return offset and confidence of audio against lips by the run's sync backend; None where a clip is too short."""
    seconds = len(crops.face_THWC) / FRAMES_PER_SECOND
    if detectors.syncnet is not None and crops.sync_THWC is not None:
        return _score_syncnet(crops.sync_THWC, samples, config, detectors, seconds)
    if detectors.sync_head is not None:
        return _score_learned(crops, track, samples, config, detectors)
    score = None
    if seconds >= config.envelope_min_seconds:
        patches = envelope_sync.mouth_patches(crops.face_THWC, mouth_position(crops, track))
        score = envelope_sync.score_envelope_sync(patches, samples, config.shifts)
    if score is None:
        return sync.SyncScores(backend="envelope", offset_frames=None, confidence=None, distance=None, length_s=seconds)
    return sync.SyncScores(
        backend="envelope",
        offset_frames=score.offset if score.confidence > 0 else None,
        confidence=score.confidence,
        distance=None,
        length_s=seconds,
        mouth_motion=score.mouth_motion,
    )


def _score_learned(
    crops: FaceCrops, track: tracking.Track, samples: Samples, config: sync.SyncConfig, detectors: Detectors
) -> sync.SyncScores:
    seconds = len(crops.face_THWC) / FRAMES_PER_SECOND
    open_scores = sync.SyncScores(
        backend="learned", offset_frames=None, confidence=None, distance=None, length_s=seconds
    )
    if seconds < config.envelope_min_seconds:
        return open_scores
    seen = mouth.measure_mouth(detectors.face_mesh, crops.face_THWC)
    envelope = envelope_sync.score_envelope_sync(seen.patches_THWC, samples, config.shifts)
    if envelope is None:
        return open_scores
    score = detectors.sync_head.score(
        seen.distances_TD,
        samples,
        envelope.curve_S,
        envelope.mouth_motion,
        config.shifts,
        embeddings_TV=crops.embeddings_TV,
    )
    # FaceMesh's patches follow the lips, so less moves in them: the limit of motion is that of patches along the track.
    along_track_THWC = envelope_sync.mouth_patches(crops.face_THWC, mouth_position(crops, track))
    return replace(
        open_scores,
        offset_frames=score.offset if score.confidence > 0 else None,
        confidence=score.confidence,
        mouth_motion=envelope_sync.measure_mouth_motion(along_track_THWC),
    )


def _score_syncnet(
    crops_THWC: Bytes, samples: Samples, config: sync.SyncConfig, detectors: Detectors, seconds: float
) -> sync.SyncScores:
    if seconds < config.min_seconds:
        return sync.SyncScores(backend="syncnet", offset_frames=None, confidence=None, distance=None, length_s=seconds)
    score = detectors.syncnet.score(
        crops_THWC, samples, shifts=config.shifts, every=config.every, authors_code=config.authors_code
    )
    return sync.SyncScores(
        backend="syncnet",
        offset_frames=None if sync.is_at_rim(score.offset, config.shifts) else score.offset,
        confidence=score.confidence,
        distance=score.distance,
        length_s=seconds,
    )


def mouth_position(crops: FaceCrops, track: tracking.Track) -> envelope_sync.MouthPosition:
    """Return where the mouth is in the frames of the clip."""
    size_px = crops.face_THWC.shape[1]
    scale = size_px / track.window.side_px
    sides_T2 = (track.boxes_T4[:, 2:] - track.boxes_T4[:, :2]) * scale
    width, height = (float(v) for v in np.median(sides_T2, axis=0))

    def to_clip(points_T2: np.ndarray) -> np.ndarray:
        return np.asarray((points_T2 - track.window.centres_T2) * scale + size_px / 2)

    if track.mouths_T2 is not None:
        return envelope_sync.mouth_from_landmarks(to_clip(track.mouths_T2), width)
    return envelope_sync.mouth_from_box(to_clip((track.boxes_T4[:, :2] + track.boxes_T4[:, 2:]) / 2), width, height)


def score_quality(
    detector_frames: DetectorFrames, crops: FaceCrops, track: tracking.Track, config: quality.QualityConfig
) -> tuple[quality.QualityScores, tuple[Bytes, ...]]:
    """Return the quality scores of the span, and two of its frames for the group's pooled watermark search."""
    grey_THW = np.stack([crop.to_grey(frame) for frame in crops.face_THWC])
    frames, scale = detector_frames.quality_frames(config)
    # In a short span the background stays where it is as a watermark does.
    long_enough = detector_frames.span.seconds >= config.watermark_min_s
    watermark = overlay.find_overlay(frames) if long_enough else None
    text = burnt_in_text.find_burnt_in_text(frames, FRAMES_PER_SECOND / config.every)
    is_still = still_picture.is_still_picture(grey_THW, config.still_level)
    scores = quality.QualityScores(
        sharpness=float(np.median([crop.sharpness(face_HW) for face_HW in crops.faces_NHW])),
        frozen_s=detector_frames.span.seconds if is_still else quality.frozen_s(grey_THW, config.frozen_level),
        black_share=quality.black_share(grey_THW, config.black_level),
        bars=quality.bars_in_window(frames, scale, track.window, blurred_bars.find_blurred_bars(frames)),
        overlay_px=None if watermark is None else float(watermark.edge_px),
        subtitle_px=float(text.subtitle_px),
        ticker_share=text.ticker_share,
        still_letters=still_text.count_still_letters(
            [crop.to_grey(frame) for frame in still_text.choose_frames(detector_frames.frames)]
        ),
    )
    third = len(frames) // 3  # frames at a third and two thirds are different even where a shot hardly moves
    return scores, (frames[third], frames[-1 - third])


def encode_clip(
    crops: FaceCrops, audio: AudioTrack, span: Span, shift_frames: int, settings: SourceSettings
) -> dict[str, bytes]:
    """Return the clip's media by file extension; the audio is moved later by `shift_frames`."""
    flac = encode.encode_flac(audio.cut(span, shift_frames))
    if settings.clip.codec == "jpeg":
        return {"frames": encode.encode_packed_jpeg(crops.face_THWC, settings.clip), "flac": flac}
    return {"mp4": encode.encode_mp4(crops.face_THWC, settings.clip), "flac": flac}
