"""Stage 4, track: one face followed through the span, and one window around it: a still camera on a moving face
(AVF-MAE++ 4.1, step 4).

Boxes on every k-th frame, more where the face moves, linear in between; tracks by IoU; Savitzky-Golay on the centres;
the window's side comes from the largest face over all frames.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from avf_shards.schema.ledger import Check
from scipy.signal import savgol_filter

from avf_curation.stages.faces import Box

STAGE = "track"
TrackBackend = Literal["auto", "retinaface", "dlib"]
Floats = npt.NDArray[np.float64]
DetectFaces = Callable[[Sequence[int]], list[list[Box]]]
"""Frame numbers of the span -> the faces in each, in source pixels."""


@dataclass(frozen=True, kw_only=True)
class TrackConfig:
    """backend: auto takes retinaface where its weights are, else dlib.

    every: detect on each every-th frame. recheck_iou: detect between two detections that overlap less than this.
    link_iou: two detections that overlap more are one track. side_px: longer side of the picture the detector sees.
    smooth_s, smooth_order: Savitzky-Golay. window_scale: window side over the largest face's side.
    rival_size: another face counts when its side is at least this share of the tracked one's. people: a clip of the
    largest face, or of each that is there for min_present of the span.
    """

    backend: TrackBackend
    every: int
    recheck_iou: float
    link_iou: float
    side_px: int
    min_score: float
    nms_iou: float
    smooth_s: float
    smooth_order: int
    window_scale: float
    rival_size: float
    max_lost_share: float
    max_rival_share: float
    max_step: float
    min_face_px: float
    max_padding: float
    people: Literal["largest", "each"] = "largest"
    min_present: float = 0.3

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f"every {self.every} is less than 1")
        if not 0 < self.min_present <= 1:
            raise ValueError(f"min_present {self.min_present} must be above 0 and at most 1")
        if self.max_lost_share >= 1:
            raise ValueError(f"max_lost_share {self.max_lost_share} must be below 1: a span without a face would pass")
        if self.window_scale < 1:
            raise ValueError(f"window_scale {self.window_scale} is less than 1: the face would be cut")


@dataclass(frozen=True, kw_only=True)
class CropWindow:
    """A square of side_px source pixels whose centre follows the face: centres_T2, (frames, 2) as x, y."""

    side_px: float
    centres_T2: Floats


@dataclass(frozen=True, kw_only=True)
class Track:
    """The tracked face: boxes_T4 (left, top, right, bottom per frame), mouths_T2 or None, its window, its scores.

    lost_share: of every k-th frame, where the face was not found. rival_share: where another face was.
    step: largest move of the smoothed centre between frames, over the face's side. padding: share of the window's area
    outside the picture, mean over frames. detections: frames looked at.
    """

    boxes_T4: Floats
    mouths_T2: Floats | None
    window: CropWindow
    face_px: float
    lost_share: float
    rival_share: float
    step: float
    padding: float
    detections: int

    def record(self) -> dict[str, Any]:
        return {
            "window_px": round(self.window.side_px, 2),
            "face_px": round(self.face_px, 2),
            "detections": self.detections,
            "tracks": 1,
        }


def measure(frames: int, detect: DetectFaces, width_px: int, height_px: int, config: TrackConfig) -> list[Track]:
    """Follow the largest face through `frames` frames, and the others where `people` is each; largest first.

    Empty when no face is found at all.
    """
    found = _look(frames, detect, config)
    chains = _link(found, config.link_iou)
    ranked = sorted(chains, key=lambda chain: (-sum(box.width * box.height for _, box in chain), chain[0][0]))
    if config.people == "largest":
        ranked = ranked[:1]
    else:
        looked = len([i for i in found if i % config.every == 0])
        ranked = ranked[:1] + [
            chain for chain in ranked[1:] if sum(i % config.every == 0 for i, _ in chain) >= config.min_present * looked
        ]
    return [_followed(frames, found, chain, width_px=width_px, height_px=height_px, config=config) for chain in ranked]


def _followed(
    frames: int,
    found: Mapping[int, list[Box]],
    main: list[tuple[int, Box]],
    *,
    width_px: int,
    height_px: int,
    config: TrackConfig,
) -> Track:
    looked, mine = sorted(found), dict(main)
    grid = [i for i in looked if i % config.every == 0]  # not the rechecks: they gather where faces are missed
    lost = sum(i not in mine for i in grid)
    rivals = sum(
        any(other is not mine[i] and other.side >= config.rival_size * mine[i].side for other in found[i])
        for i in grid
        if i in mine
    )
    boxes_T4 = _interpolate(frames, {i: (b.left, b.top, b.right, b.bottom) for i, b in main})
    mouths = {i: box.mouth for i, box in main if box.mouth is not None}
    sides = np.max(boxes_T4[:, 2:] - boxes_T4[:, :2], axis=1)
    centres_T2 = smooth((boxes_T4[:, :2] + boxes_T4[:, 2:]) / 2, config)
    window = CropWindow(side_px=float(config.window_scale * sides.max()), centres_T2=centres_T2)
    steps = np.hypot(*np.diff(centres_T2, axis=0).T) if frames > 1 else np.zeros(1)
    return Track(
        boxes_T4=boxes_T4,
        mouths_T2=_interpolate(frames, mouths) if len(mouths) == len(main) else None,
        window=window,
        face_px=float(np.median(sides)),
        lost_share=lost / len(grid),
        rival_share=rivals / len(grid),
        step=float(steps.max() / np.median(sides)),
        padding=_padding(window, width_px, height_px),
        detections=len(looked),
    )


def decide(track: Track | None, config: TrackConfig) -> tuple[Check, ...]:
    """One face, found nearly always, alone, moving like a face, large enough, and in the picture."""
    if track is None:
        return (
            Check(
                stage=STAGE,
                reason="face_lost",
                score=1.0,
                operator="<=",
                threshold=config.max_lost_share,
                setting="track.max_lost_share",
            ),
        )
    return (
        Check(
            stage=STAGE,
            reason="face_lost",
            score=track.lost_share,
            operator="<=",
            threshold=config.max_lost_share,
            setting="track.max_lost_share",
        ),
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
    """Savitzky-Golay over time; spans shorter than the window take the longest odd window that fits."""
    length = min(round(config.smooth_s * 25) // 2 * 2 + 1, (len(path_T2) - 1) // 2 * 2 + 1)
    if length <= config.smooth_order:
        return path_T2
    return np.asarray(savgol_filter(path_T2, length, config.smooth_order, axis=0, mode="nearest"))


def _look(frames: int, detect: DetectFaces, config: TrackConfig) -> dict[int, list[Box]]:
    """Faces of every k-th frame and the last, then of the middle between neighbours that disagree, until they agree."""
    wanted = sorted({*range(0, frames, config.every), frames - 1})
    found: dict[int, list[Box]] = dict(zip(wanted, detect(wanted), strict=True))
    while True:
        looked = sorted(found)
        wanted = [
            (a + b) // 2
            for a, b in zip(looked, looked[1:], strict=False)
            if b - a > 1 and not _agree(found[a], found[b], config.recheck_iou)
        ]
        if not wanted:
            return found
        found |= zip(wanted, detect(wanted), strict=True)


def _agree(first: list[Box], second: list[Box], iou: float) -> bool:
    if not first or not second:
        return not first and not second
    largest = max(first, key=lambda box: box.side)
    return max(largest.iou(other) for other in second) >= iou


def _link(found: dict[int, list[Box]], link_iou: float) -> list[list[tuple[int, Box]]]:
    """Chains of boxes over time, greedily by IoU; a chain may skip frames where its face was not found."""
    chains: list[list[tuple[int, Box]]] = []
    for frame in sorted(found):
        free = list(found[frame])
        pairs = sorted(
            ((chain[-1][1].iou(box), -c, -b) for c, chain in enumerate(chains) for b, box in enumerate(free)),
            reverse=True,
        )
        used_chains: set[int] = set()
        used_boxes: set[int] = set()
        for iou, minus_c, minus_b in pairs:
            c, b = -minus_c, -minus_b
            if iou < link_iou or c in used_chains or b in used_boxes:
                continue
            chains[c].append((frame, free[b]))
            used_chains.add(c)
            used_boxes.add(b)
        chains += [[(frame, box)] for b, box in enumerate(free) if b not in used_boxes]
    return chains


def _interpolate(frames: int, known: Mapping[int, tuple[float, ...]]) -> Floats:
    """(frames, n): linear between known frames, constant before the first and after the last."""
    at = sorted(known)
    values = np.asarray([known[i] for i in at], float)
    grid = np.arange(frames)
    return np.stack([np.interp(grid, at, values[:, k]) for k in range(values.shape[1])], axis=1)


def _padding(window: CropWindow, width_px: int, height_px: int) -> float:
    half = window.side_px / 2
    low = np.maximum(window.centres_T2 - half, 0)
    high = np.minimum(window.centres_T2 + half, (width_px, height_px))
    inside = np.prod(np.maximum(high - low, 0), axis=1) / window.side_px**2
    return float(1 - inside.mean())
