"""Stage 4, track: follow a face through the span and put a crop window of constant size around it (AVF-MAE++ 4.1,
step 4).

Faces are detected on every k-th frame and more often where the face moves; boxes are linear in between. They are linked
to tracks by IoU, a Savitzky-Golay filter smooths the centres, and the largest face of all frames sets the side of the
window.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from avf_shards.schema.labels import Box4
from avf_shards.schema.ledger import Check
from avf_shards.settings.config import refuse
from avf_shards.timeline import FRAMES_PER_SECOND, Span

from avf_curation.stages.faces import Box
from avf_curation.stages.pans import Chain, find_pan_edges

STAGE = "track"
ANOTHER_FACE = "another_face"  # the reason of a part in which one face turns into another
NO_FRAMES = Span(0, 0)
MIN_IDENTITY_S = 1 / FRAMES_PER_SECOND  # the smallest identity_s that a recipe may set
TrackBackend = Literal["auto", "retinaface", "dlib"]
IdentityBackend = Literal["auto", "dlib-resnet", "none"]
Floats = npt.NDArray[np.float64]
DetectFaces = Callable[[Sequence[int]], list[list[Box]]]
"""Frame numbers of the span -> the faces in each of these frames, in source pixels."""


@dataclass(frozen=True, kw_only=True)
class TrackConfig:
    """Settings of the track stage. Where the thresholds come from: recipes/default.yaml."""

    backend: TrackBackend  # auto: retinaface where its weights are, else dlib
    every: int  # faces are detected on each every-th frame
    recheck_iou: float  # a frame between two detections that overlap less than this is detected too
    link_iou: float  # two detections that overlap at least this much belong to one track
    side_px: int  # longer side of the frames that the detector gets
    min_score: float  # RetinaFace's, 0 to 1
    nms_iou: float  # RetinaFace: of two boxes that overlap more, the better is kept
    smooth_s: float  # length of the Savitzky-Golay filter
    smooth_order: int  # order of its polynomial
    window_scale: float  # window side over the largest face's side
    rival_size: float  # another face is a rival when its side is at least this share of the tracked face's
    max_lost_share: float  # of every-th frames without the tracked face
    max_rival_share: float  # of every-th frames with a rival
    max_step: float  # largest move between two frames, over the face's side
    max_blend: float  # share of a change of the face that a mixture of two faces explains: more is a dissolve
    min_face_px: float  # median side of the face in source pixels
    max_padding: float  # mean share of the window outside the frame
    # a clip of the largest face, of each face, or of the one that speaks most
    people: Literal["largest", "each", "speaker"] = "largest"
    min_present: float = 0.3  # `each`, `speaker`: share of the span in which a face must be found
    # auto: dlib-resnet where its weights are; none: whether the face stays that of one person is not asked
    identity: IdentityBackend = "auto"
    identity_s: float = 1.0  # from one face that is compared to the next, in seconds
    max_identity_jump: float = 0.3  # distance of the embeddings before a moment and behind it, less their spread

    def __post_init__(self) -> None:
        lost, scale = self.max_lost_share, self.window_scale
        refuse(
            (self.every < 1, f"every {self.every} is less than 1"),
            (not 0 < self.min_present <= 1, f"min_present {self.min_present} must be above 0 and at most 1"),
            (lost >= 1, f"max_lost_share {lost} must be below 1: a span without a face would pass"),
            (self.identity_s < MIN_IDENTITY_S, f"identity_s {self.identity_s} is less than {MIN_IDENTITY_S}"),
            (scale < 1, f"window_scale {scale} is less than 1: the face would be cut"),
        )


@dataclass(frozen=True, kw_only=True)
class CropWindow:
    """The square that is cut out of each frame: constant size, its centre follows the face."""

    side_px: float  # source pixels
    centres_T2: Floats  # (frames, 2) as x, y in source pixels

    def box_px(self, width_px: int, height_px: int) -> Box4:
        """Return left, top, right and bottom of the part of the picture that holds the window in every frame."""
        low_2 = (self.centres_T2.min(0) - self.side_px / 2).clip(0)
        high_2 = (self.centres_T2.max(0) + self.side_px / 2).clip(None, (width_px, height_px))
        left, top, right, bottom = (round(float(edge), 2) for edge in (*low_2, *high_2))
        return left, top, right, bottom


@dataclass(frozen=True, kw_only=True)
class Track:
    """A face followed through a span, its crop window and its scores."""

    boxes_T4: Floats  # (frames, 4) as left, top, right, bottom in source pixels
    mouths_T2: Floats | None  # (frames, 2) centre of the mouth; None where the detector gives no landmarks
    window: CropWindow  # the crop around the face
    face_px: float  # median side in source pixels
    lost_share: float  # share of every-th frames in which the face was not found
    rival_share: float  # share of every-th frames in which another face was found beside the tracked face
    step: float  # largest move of the smoothed centre between two frames, over the face's side
    padding: float  # share of the window's area outside the frame, mean over frames
    detections: int  # frames on which the detector ran
    blend: float = 0.0  # share of a change of the face that a mixture of two faces explains; 0: there is no such change
    blend_frames: Span = NO_FRAMES  # in which that change happens, counted in the span; empty: there is none
    #: Frames of the span in which the tracked face is missing and another one, nearly as large, has the picture.
    other_faces: tuple[Span, ...] = ()
    pan_edges: tuple[int, ...] = ()  # frames at which a pan to such a face, or from it, begins or ends

    def record(self) -> dict[str, Any]:
        """Return the measurements as the ledger stores them."""
        return {
            "window_px": round(self.window.side_px, 2),
            "face_px": round(self.face_px, 2),
            "detections": self.detections,
            "blend": round(self.blend, 4),
            "tracks": 1,
        }


@dataclass(frozen=True, kw_only=True)
class SpanPart:
    """A part of a span that one person has, or in which one gives way to another."""

    span: Span  # frames of the video
    is_change: bool  # the face turns into another one


def measure(frames: int, detect: DetectFaces, width_px: int, height_px: int, config: TrackConfig) -> list[Track]:
    """Follow the largest face through a span of `frames` frames, and the other faces unless `people` is largest.

    Returns the tracks, the largest face first. The list is empty when no face is detected.

    Args:
        detect: returns the faces of the frames it is given, in source pixels.
    """
    faces = _detect_adaptively(frames, detect, config)
    chains = _link_detections(faces, config.link_iou)
    # The largest face is the one whose boxes cover most area over time.
    ranked = sorted(chains, key=lambda chain: (-sum(box.width * box.height for _, box in chain), chain[0][0]))
    if config.people == "largest":
        ranked = ranked[:1]
    else:
        needed = config.min_present * sum(frame % config.every == 0 for frame in faces)
        ranked = ranked[:1] + [
            chain for chain in ranked[1:] if sum(frame % config.every == 0 for frame, _ in chain) >= needed
        ]
    return [
        _with_other_faces(
            _build_track(frames, faces, chain, width_px=width_px, height_px=height_px, config=config),
            _other_faces(frames, faces, chain, config),
            chain,
            [other for other in chains if other is not chain],
        )
        for chain in ranked
    ]


def _with_other_faces(track: Track, stretches: tuple[Span, ...], chain: Chain, others: list[Chain]) -> Track:
    return replace(track, other_faces=stretches, pan_edges=tuple(find_pan_edges(stretches, chain, others)))


def _build_track(
    frames: int,
    faces: Mapping[int, list[Box]],
    chain: Chain,
    *,
    width_px: int,
    height_px: int,
    config: TrackConfig,
) -> Track:
    """Return the track of the face that `chain` links, with shares over the detections of all faces."""
    tracked = dict(chain)
    # Shares leave out the frames that were added later: these gather where the face is missed.
    grid = [frame for frame in sorted(faces) if frame % config.every == 0]
    lost = sum(frame not in tracked for frame in grid)
    rivals = sum(
        any(
            other is not tracked[frame] and other.side >= config.rival_size * tracked[frame].side
            for other in faces[frame]
        )
        for frame in grid
        if frame in tracked
    )
    boxes_T4 = _interpolate(frames, {frame: (box.left, box.top, box.right, box.bottom) for frame, box in chain})
    mouths = {frame: box.mouth for frame, box in chain if box.mouth is not None}
    sides = np.max(boxes_T4[:, 2:] - boxes_T4[:, :2], axis=1)
    centres_T2 = smooth((boxes_T4[:, :2] + boxes_T4[:, 2:]) / 2, config)
    # One side for all frames of the span: a window that zooms with the box would make the head pulsate.
    window = CropWindow(side_px=float(config.window_scale * sides.max()), centres_T2=centres_T2)
    steps = np.hypot(*np.diff(centres_T2, axis=0).T) if frames > 1 else np.zeros(1)
    return Track(
        boxes_T4=boxes_T4,
        mouths_T2=_interpolate(frames, mouths) if len(mouths) == len(chain) else None,
        window=window,
        face_px=float(np.median(sides)),
        lost_share=lost / len(grid),
        rival_share=rivals / len(grid),
        step=float(steps.max() / np.median(sides)),
        padding=_padding_share(window, width_px, height_px),
        detections=len(faces),
    )


def _other_faces(frames: int, faces: Mapping[int, list[Box]], chain: Chain, config: TrackConfig) -> tuple[Span, ...]:
    """Return the stretches between detections of the tracked face, or beside them, in which a rival is found."""
    rival_side = config.rival_size * float(np.median([box.side for _, box in chain]))
    rivals = np.asarray([frame for frame in sorted(faces) if any(box.side >= rival_side for box in faces[frame])])
    stretches = []
    for before, after in pairwise([-1, *(frame for frame, _ in chain), frames]):
        if np.any((rivals > before) & (rivals < after)):
            stretches.append(Span(before + 1, after))
    return tuple(stretches)


def split_at_other_faces(track: Track, span: Span, config: TrackConfig) -> list[SpanPart]:
    """Return the parts of a span, cut where another face takes the place of the tracked one and where it gives it back.

    A change that takes time, as a dissolve does, is a part of its own, and so is what a pan shows of either face. Where
    the faces are seen side by side, or each of them is to have a clip, nothing is cut.
    """
    edges = {0, span.frames}
    blend = NO_FRAMES
    if track.rival_share <= config.max_rival_share:
        if config.people != "each":
            edges |= {edge for other in track.other_faces for edge in (other.start_frame, other.stop_frame)}
            edges |= {*track.pan_edges}
        if track.blend > config.max_blend:
            blend = _without_short_rest(track.blend_frames, span.frames)
            edges |= {blend.start_frame, blend.stop_frame}
    return [
        SpanPart(
            span=Span(span.start_frame + start, span.start_frame + stop),
            is_change=blend.start_frame <= start and stop <= blend.stop_frame,
        )
        for start, stop in pairwise(sorted(edges))
    ]


def _without_short_rest(change: Span, frames: int) -> Span:
    """Return a change that lasts to the end of the span where less than a second is left: it may go on there."""
    start = change.start_frame if change.start_frame >= FRAMES_PER_SECOND else 0
    return Span(start, change.stop_frame if frames - change.stop_frame >= FRAMES_PER_SECOND else frames)


def decide(track: Track | None, config: TrackConfig) -> tuple[Check, ...]:
    """Check that one face is found nearly always, alone, without jumps, large enough and inside the frame."""
    lost = Check(
        stage=STAGE,
        reason="face_lost",
        score=1.0 if track is None else track.lost_share,
        operator="<=",
        threshold=config.max_lost_share,
        setting="track.max_lost_share",
    )
    if track is None:
        return (lost,)
    checks = _check_identity(track, config)
    if config.people == "speaker":  # of several faces the one that speaks is tracked; the speaker stage judges it
        checks = tuple(check for check in checks if check.reason != "several_faces")
    return (lost, *checks, *_check_window(track, config))


def _check_identity(track: Track, config: TrackConfig) -> tuple[Check, ...]:
    """Check that the track is of one face."""
    return (
        Check(
            stage=STAGE,
            reason="several_faces",
            score=track.rival_share,
            operator="<=",
            threshold=config.max_rival_share,
            setting="track.max_rival_share",
        ),
        Check(
            stage=STAGE,
            reason="jump",
            score=track.step,
            operator="<=",
            threshold=config.max_step,
            setting="track.max_step",
        ),
        Check(
            stage=STAGE,
            reason="another_face",
            score=track.blend,
            operator="<=",
            threshold=config.max_blend,
            setting="track.max_blend",
        ),
    )


def _check_window(track: Track, config: TrackConfig) -> tuple[Check, ...]:
    """Check that the face is large enough and its crop inside the frame."""
    return (
        Check(
            stage=STAGE,
            reason="too_small",
            score=track.face_px,
            operator=">=",
            threshold=config.min_face_px,
            setting="track.min_face_px",
        ),
        Check(
            stage=STAGE,
            reason="out_of_frame",
            score=track.padding,
            operator="<=",
            threshold=config.max_padding,
            setting="track.max_padding",
        ),
    )


def smooth(path_T2: Floats, config: TrackConfig) -> Floats:
    """Smooth a path over time with a Savitzky-Golay filter; short spans take the longest odd length that fits."""
    from scipy.signal import (
        savgol_filter,  # takes a second to import, and the thresholds above are read by every command
    )

    length = min(round(config.smooth_s * FRAMES_PER_SECOND) // 2 * 2 + 1, (len(path_T2) - 1) // 2 * 2 + 1)
    if length <= config.smooth_order:
        return path_T2
    return np.asarray(savgol_filter(path_T2, length, config.smooth_order, axis=0, mode="nearest"))


def _detect_adaptively(frames: int, detect: DetectFaces, config: TrackConfig) -> dict[int, list[Box]]:
    """Return the faces of every k-th frame and the last, and of frames halfway between neighbours that disagree."""
    batch = sorted({*range(0, frames, config.every), frames - 1})
    faces: dict[int, list[Box]] = dict(zip(batch, detect(batch), strict=True))
    while True:
        # Halve each interval whose ends disagree, until all ends agree or are neighbours: linear interpolation then
        # stays close to the face even where the head moves fast.
        detected = sorted(faces)
        batch = [
            (earlier + later) // 2
            for earlier, later in zip(detected, detected[1:], strict=False)
            if later - earlier > 1 and not _agree(faces[earlier], faces[later], config.recheck_iou)
        ]
        if not batch:
            return faces
        faces |= zip(batch, detect(batch), strict=True)


def _agree(first: list[Box], second: list[Box], iou: float) -> bool:
    """Return whether the largest face of the first frame is still there in the second, or both frames are empty."""
    if not first or not second:
        return not first and not second
    largest = max(first, key=lambda box: box.side)
    return max(largest.iou(other) for other in second) >= iou


def _link_detections(faces: dict[int, list[Box]], link_iou: float) -> list[Chain]:
    """Link boxes over time greedily by IoU; a chain may skip frames in which its face was not found."""
    chains: list[Chain] = []
    for frame in sorted(faces):
        boxes = faces[frame]
        # Best overlap first; ties go to the older chain and the earlier box, so that the result is always the same.
        pairs = sorted(
            ((-chain[-1][1].iou(box), c, b) for c, chain in enumerate(chains) for b, box in enumerate(boxes)),
        )
        linked_chains: set[int] = set()
        linked_boxes: set[int] = set()
        for negative_iou, c, b in pairs:
            if -negative_iou < link_iou or c in linked_chains or b in linked_boxes:
                continue
            chains[c].append((frame, boxes[b]))
            linked_chains.add(c)
            linked_boxes.add(b)
        chains += [[(frame, box)] for b, box in enumerate(boxes) if b not in linked_boxes]
    return chains


def _interpolate(frames: int, known: Mapping[int, tuple[float, ...]]) -> Floats:
    """Return (frames, values): linear between known frames, constant before the first and after the last."""
    positions = sorted(known)
    values = np.asarray([known[frame] for frame in positions], float)
    grid = np.arange(frames)
    return np.stack([np.interp(grid, positions, values[:, k]) for k in range(values.shape[1])], axis=1)


def _padding_share(window: CropWindow, width_px: int, height_px: int) -> float:
    """Return the share of the window's area outside the frame, mean over frames."""
    half = window.side_px / 2
    low = np.maximum(window.centres_T2 - half, 0)
    high = np.minimum(window.centres_T2 + half, (width_px, height_px))
    inside = np.prod(np.maximum(high - low, 0), axis=1) / window.side_px**2
    return float(1 - inside.mean())
