"""The pipeline of one face picture: decode, size, faces, crop, quality. Every picture has one frame, and one outcome.

What a picture shares with a video (settings of faces, track and quality, and the reasons of their rejections) means the
same: a picture is a shot of one sampled frame.
"""

import hashlib
from pathlib import Path

import numpy as np
from avf_shards.format.picture_record import PICTURE_SPAN
from avf_shards.schema.labels import Box4
from avf_shards.schema.ledger import Check

from avf_curation.detectors.detector_set import Detectors
from avf_curation.media import crop
from avf_curation.media.picture_file import DecodedPicture, decode_picture_file, encode_picture, fit_picture
from avf_curation.media.types import Bytes
from avf_curation.pipeline.input_check import check_still_unchanged, check_unchanged, read_picture_bytes
from avf_curation.pipeline.outcomes import EncodedPicture, ScreenedVideo, SpanOutcome, VideoOutcomes
from avf_curation.pipeline.self_test import failed_test
from avf_curation.pipeline.video import fail_input, find_cause
from avf_curation.recipe import SourceSettings
from avf_curation.sources.types import PictureInput, Video
from avf_curation.stages import faces, picture, quality, tracking
from avf_curation.stages.candidate import Candidate
from avf_curation.stages.faces import Box

_NOT_ASKED = (
    "turned",
    "size_jump",
)  # checks of faces: a file of a picture says how it is turned; one frame has one size
_QUALITY_REASONS = ("blurred", "black")  # the other checks of the stage compare frames
_TEST_SIDE_PX = 96


def curate_picture(video: Video, root: Path, settings: SourceSettings, detectors: Detectors) -> ScreenedVideo:
    """Measure, decide and encode one picture. One that cannot be used is failed, which raises nothing.

    Raises InfrastructureError for errors of the machine.
    """
    digest = None
    try:
        check_unchanged(video, root / video.path)
        data = read_picture_bytes(video, root)
        digest = hashlib.sha256(data).hexdigest()
        outcome = _decide(video, data, settings, detectors)
        check_still_unchanged(video, root, None)
    except Exception as error:
        outcome = fail_input(video, root, find_cause(video, root, None, error))
    return ScreenedVideo(video=video, parts=(outcome,), sha256=digest)


def finish_picture(
    screened: ScreenedVideo, root: Path, settings: SourceSettings, detectors: Detectors
) -> VideoOutcomes:
    """Return the outcome of a picture, which has nothing left to refine."""
    outcomes = tuple(part for part in screened.parts if isinstance(part, SpanOutcome))
    return VideoOutcomes(video=screened.video, outcomes=outcomes, sha256=screened.sha256)


def _decide(video: Video, data: bytes, settings: SourceSettings, detectors: Detectors) -> SpanOutcome:
    config, gates, known = settings.picture, settings.gates, video.picture
    assert config is not None, "a run of pictures has their settings"
    assert known is not None, "a run of pictures has no other input"
    measures_on = gates.scores_past_rejection(video.source, video.video_id)
    with detectors.clock.stage("decode"):
        decoded = decode_picture_file(data, settings.media.max_pixels)
    seen = known.owners_faces
    size = picture.PictureScores(
        width_px=decoded.width_px,
        height_px=decoded.height_px,
        owners_score=None if seen is None else seen.score or 0.0,
        owners_second_score=None if seen is None else seen.second_score or 0.0,
    )
    candidate = Candidate(span=PICTURE_SPAN)
    candidate = candidate.with_stage(picture.STAGE, size.record(), picture.decide(size, config))
    face, window, stored_HWC = None, None, None
    if gates.faces != "skip" and (candidate.failed_check is None or measures_on):
        with detectors.clock.stage("faces"):
            boxes = _find_faces(decoded, known, settings, detectors)
        candidate = _check_faces(candidate, boxes, decoded, settings)
        face = max(boxes, key=lambda box: box.side, default=None)
    if config.store == "face" and face is not None and (candidate.failed_check is None or measures_on):
        window = _window(face, settings.track.window_scale)
        candidate = _check_window(candidate, face, window, decoded, settings)
    if gates.quality != "skip" and (candidate.failed_check is None or measures_on):
        stored_HWC = _cut(decoded.image_HWC, window, settings.clip.size_px)
        candidate = _check_quality(candidate, stored_HWC, settings)
    if candidate.failed_check is not None:
        return SpanOutcome(candidate=candidate)
    with detectors.clock.stage("encode"):
        encoded = _encode(data, decoded, face, window, settings)
    return SpanOutcome(candidate=candidate, picture=encoded)


def _find_faces(
    decoded: DecodedPicture, known: PictureInput, settings: SourceSettings, detectors: Detectors
) -> list[Box]:
    """Return the faces by the run's detector, in pixels of the picture.

    Where the owners mark a face, only faces in the square that would be stored around it count: of a picture of many
    people that square is what a model sees.
    """
    image, scale = fit_picture(decoded.image_HWC, settings.faces.side_px)
    if detectors.face_finder.pixel_format == "gray":
        image = crop.to_grey(image)
    boxes = detectors.face_finder.find([image], scale, settings.faces)[0]
    if known.box_px is None:
        return boxes
    left, top, right, bottom = _window(_to_box(known.box_px), settings.track.window_scale)
    return [box for box in boxes if left <= box.centre[0] <= right and top <= box.centre[1] <= bottom]


def _check_faces(
    candidate: Candidate, boxes: list[Box], decoded: DecodedPicture, settings: SourceSettings
) -> Candidate:
    scores, gates = faces.measure([boxes], decoded.width_px, decoded.height_px), settings.gates
    checks = tuple(check for check in faces.decide(scores, settings.faces) if check.reason not in _NOT_ASKED)
    checks += gates.undecided_checks(faces.STAGE, checks)
    candidate = candidate.with_stage(faces.STAGE, scores.record(), checks, gates.faces)
    assert settings.picture is not None
    if boxes or settings.picture.store == "whole":
        return candidate
    # Without a face there is nothing to crop, whatever the recipe lets pass.
    lost = Check(stage=tracking.STAGE, reason="face_lost", score=1.0, operator="<=", threshold=0.0)
    return candidate.with_stage(tracking.STAGE, {}, (lost,))


def _to_box(edges: Box4) -> Box:
    left, top, right, bottom = edges
    return Box(left=left, top=top, right=right, bottom=bottom)


def _window(face: Box, scale: float) -> Box4:
    """Return the square around a face, (left, top, right, bottom), in whole pixels as `crop_square` cuts it."""
    side = max(2, round(face.side * scale))
    left, top = round(face.centre[0] - side / 2), round(face.centre[1] - side / 2)
    return left, top, left + side, top + side


def _check_window(
    candidate: Candidate, face: Box, window: Box4, decoded: DecodedPicture, settings: SourceSettings
) -> Candidate:
    outside = 1 - _to_box(window).share_inside(decoded.width_px, decoded.height_px)
    check = Check(
        stage=tracking.STAGE,
        reason="out_of_frame",
        score=outside,
        operator="<=",
        threshold=settings.track.max_padding,
        setting="track.max_padding",
    )
    measured = {"window_px": window[2] - window[0], "face_px": round(face.side, 2)}
    return candidate.with_stage(tracking.STAGE, measured, (check,), settings.gates.track)


def _cut(image_HWC: Bytes, window: Box4 | None, size_px: int) -> Bytes:
    """Return the window at the size that is stored; without one the picture, its longer side at that size."""
    if window is None:
        height, width = image_HWC.shape[:2]
        side = max(height, width)
        resized = crop.crop_square(image_HWC, (width / 2, height / 2), side, size_px)
        rows, columns = round(size_px * height / side), round(size_px * width / side)
        top, left = (size_px - rows) // 2, (size_px - columns) // 2
        return resized[top : top + max(1, rows), left : left + max(1, columns)]
    left_px, top_px, right_px, bottom_px = window
    centre = (left_px + right_px) / 2, (top_px + bottom_px) / 2
    return crop.crop_square(image_HWC, centre, right_px - left_px, size_px)


def _check_quality(candidate: Candidate, stored_HWC: Bytes, settings: SourceSettings) -> Candidate:
    grey, config, gates = crop.to_grey(stored_HWC), settings.quality, settings.gates
    scores = quality.QualityScores(
        sharpness=crop.sharpness(grey),
        frozen_s=0.0,
        black_share=quality.black_share(grey[None], config.black_level),
        bars=0.0,
        overlay_px=None,
    )
    checks = tuple(check for check in quality.decide(scores, config) if check.reason in _QUALITY_REASONS)
    record = scores.record()
    measured = {name: record[name] for name in ("sharpness", "black_share")}
    return candidate.with_stage(quality.STAGE, measured, checks, gates.quality)


def _encode(
    data: bytes, decoded: DecodedPicture, face: Box | None, window: Box4 | None, settings: SourceSettings
) -> EncodedPicture:
    size_px = settings.clip.size_px
    if window is not None:
        data = encode_picture(_cut(decoded.image_HWC, window, size_px), settings.clip.jpeg_quality)
        extension, width_px, height_px = "jpg", size_px, size_px
    else:
        width_px, height_px = decoded.width_px, decoded.height_px
        if decoded.extension is None:
            data = encode_picture(decoded.image_HWC, settings.clip.jpeg_quality)
        extension = decoded.extension or "jpg"
    return EncodedPicture(
        data=data,
        extension=extension,
        width_px=width_px,
        height_px=height_px,
        source_width_px=decoded.width_px,
        source_height_px=decoded.height_px,
        window_px=window,
        face_px=None if face is None else _round_box(face),
    )


def _round_box(face: Box) -> Box4:
    return round(face.left, 2), round(face.top, 2), round(face.right, 2), round(face.bottom, 2)


def check_picture_tools(detectors: Detectors, settings: SourceSettings) -> None:
    """Encode, decode and search a tiny picture without a face.

    Raises InfrastructureError, which names the step, the error and what to mend.
    """
    step = "encoding a picture"
    try:
        row = np.arange(_TEST_SIDE_PX, dtype=np.uint8)
        image_HWC = np.broadcast_to(row[:, None, None], (_TEST_SIDE_PX, _TEST_SIDE_PX, 3)).copy()
        data = encode_picture(image_HWC, settings.clip.jpeg_quality)
        step = "decoding a picture"
        decoded = decode_picture_file(data, settings.media.max_pixels)
        step = "searching a picture for faces"
        _find_faces(decoded, PictureInput(), settings, detectors)
    except Exception as error:
        raise failed_test(step, error) from error
