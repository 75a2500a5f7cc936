"""Films with a dissolve or a wipe of known length between two shots, and single shots that a detector must not divide.

Shapes: T frames, H height, W width, C = 3 channels (BGR).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from avf_curation.media.types import Bytes
from avf_shards.timeline import Span

LENGTHS = (8, 12, 25, 50, 75, 100)  # frames of a transition
PURE_FRAMES = 60  # on either side of it
KINDS = ("dissolve", "smooth dissolve", "wipe right", "soft wipe", "circle")
_SOFT_SHARE = 0.15  # of the diagonal: how wide the edge of a soft wipe is


@dataclass(frozen=True, kw_only=True)
class Film:
    """Frames with at most one transition."""

    name: str  # what is in it
    frames_THWC: Bytes
    transition: Span | None  # frames that show something of both shots; None: a single shot


def make_transition(name: str, first_THWC: Bytes, second_THWC: Bytes, kind: str, length: int) -> Film:
    """Return a film in which one shot turns into another in `length` frames; people in both go on moving.

    A shot that is too short is played forwards and backwards.
    """
    height, width = first_THWC.shape[1:3]
    count = 2 * PURE_FRAMES + length
    shares_T = np.clip((np.arange(count) - PURE_FRAMES + 1) / (length + 1), 0, 1)
    frames = []
    for index, share in enumerate(shares_T):
        first_HWC = first_THWC[_forwards_and_backwards(index, len(first_THWC))]
        second_HWC = cover(second_THWC[_forwards_and_backwards(index, len(second_THWC))], width, height)
        weight_HW1 = transition_weight(kind, float(share), width, height)[..., None]
        frames.append(np.round(first_HWC * (1 - weight_HW1) + second_HWC * weight_HW1).astype(np.uint8))
    return Film(name=name, frames_THWC=np.stack(frames), transition=Span(PURE_FRAMES, PURE_FRAMES + length))


def transition_weight(kind: str, share: float, width: int, height: int) -> np.ndarray:
    """Return the weight of the second picture at each pixel, (H, W) or a number for all, after `share` of the time."""
    if kind == "dissolve":
        return np.full((1, 1), share)
    if kind == "smooth dissolve":
        return np.full((1, 1), share * share * (3 - 2 * share))
    y_H1, x_1W = np.linspace(0, 1, height)[:, None], np.linspace(0, 1, width)[None]
    order_HW = {
        "wipe right": x_1W + 0 * y_H1,
        "wipe up": 1 - y_H1 + 0 * x_1W,
        "soft wipe": (x_1W + y_H1) / 2,
        "circle": np.hypot(x_1W - 0.5, y_H1 - 0.5) / np.hypot(0.5, 0.5),
    }[kind]
    softness = _SOFT_SHARE if kind == "soft wipe" else 1e-3
    return np.asarray(np.clip((share * (1 + softness) - order_HW) / softness, 0, 1))


def make_single_shots(name: str, shot_THWC: Bytes) -> Iterator[Film]:
    """Yield a shot as it is, under moves of the camera and under changes of the light."""
    yield Film(name=name, frames_THWC=shot_THWC, transition=None)
    for move, change in _CHANGES.items():
        frames = [change(frame_HWC, index / 25) for index, frame_HWC in enumerate(shot_THWC)]
        yield Film(name=f"{name}, {move}", frames_THWC=np.stack(frames), transition=None)


def shake(frames_THWC: Bytes, frames_per_s: float = 25.0) -> Bytes:
    """Return frames as a camera in the hand shows them, which sees less of the scene."""
    return np.stack(
        [_CHANGES["in the hand"](frame_HWC, index / frames_per_s) for index, frame_HWC in enumerate(frames_THWC)]
    )


def cover(frame_HWC: Bytes, width: int, height: int) -> Bytes:
    """Return the middle of a frame, enlarged or shrunk so that it fills `width` x `height`."""
    scale = max(width / frame_HWC.shape[1], height / frame_HWC.shape[0])
    resized_HWC = cv2.resize(frame_HWC, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    top, left = (resized_HWC.shape[0] - height) // 2, (resized_HWC.shape[1] - width) // 2
    crop_HWC = resized_HWC[max(0, top) : max(0, top) + height, max(0, left) : max(0, left) + width]
    return np.asarray(cv2.resize(crop_HWC, (width, height)), np.uint8)


def _forwards_and_backwards(index: int, count: int) -> int:
    index %= 2 * count - 2
    return index if index < count else 2 * count - 2 - index


def _look_through(frame_HWC: Bytes, x: float, y: float, zoom: float) -> Bytes:
    """Return what a camera sees that shows 1 / zoom of the frame; x and y: -1 to 1, the borders of the frame."""
    height, width = frame_HWC.shape[:2]
    rest = (1 - 1 / zoom) / 2
    left, top = width * rest * (1 + x), height * rest * (1 + y)
    motion_23 = np.array([[zoom, 0, -zoom * left], [0, zoom, -zoom * top]])
    return np.asarray(cv2.warpAffine(frame_HWC, motion_23, (width, height), borderMode=cv2.BORDER_REPLICATE))


def _light(frame_HWC: Bytes, gains_C: tuple[float, float, float]) -> Bytes:
    return np.asarray(np.clip(frame_HWC * np.array(gains_C), 0, 255), np.uint8)


def _ramp(second: float, start: float, length: float) -> float:
    return float(np.clip((second - start) / length, 0, 1))


_CHANGES: dict[str, Callable[[Bytes, float], Bytes]] = {
    "pan": lambda frame, s: _look_through(frame, 2 * _ramp(s, 0.8, 1.2) - 1, 0, 1.7),
    "slow pan": lambda frame, s: _look_through(frame, 2 * _ramp(s, 0, 6) - 1, 0, 2.0),
    "tilt": lambda frame, s: _look_through(frame, 0, 2 * _ramp(s, 0.8, 0.8) - 1, 1.7),
    "zoom": lambda frame, s: _look_through(frame, 0, 0, 1 + _ramp(s, 0.6, 1.5)),
    "in the hand": lambda frame, s: _look_through(frame, 0.6 * np.sin(3 * s), 0.6 * np.sin(4.3 * s + 1), 1.25),
    "brighter": lambda frame, s: _light(frame, (1 + 0.9 * _ramp(s, 1, 1),) * 3),
    "darker": lambda frame, s: _light(frame, (1 - 0.7 * _ramp(s, 1, 1),) * 3),
    "flashes": lambda frame, s: _light(frame, (2.5 if 1.0 <= s < 1.08 or 2.0 <= s < 2.2 else 1.0,) * 3),
    "coloured light": lambda frame, s: _light(
        frame, (1 - 0.5 * _ramp(s, 1, 1.5), 1 - 0.2 * _ramp(s, 1, 1.5), 1 + 0.2 * _ramp(s, 1, 1.5))
    ),
}
