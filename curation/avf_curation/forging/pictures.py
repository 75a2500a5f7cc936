"""Forgeries of the picture: another face, a still mouth, frames again. All return as many frames as they got."""

from dataclasses import dataclass

import cv2
import numpy as np

from avf_curation.forging.takes import Floats
from avf_curation.media.types import Bytes

_FEATHER = 0.04  # sigma of the edge, a share of the box's width


@dataclass(frozen=True, kw_only=True)
class _Part:
    """An ellipse in a face, in shares of the width and height of the detector's box."""

    centre: tuple[float, float]
    half: tuple[float, float]  # half axes


_FACE = _Part(centre=(0.5, 0.5), half=(0.42, 0.56))
_MOUTH = _Part(centre=(0.5, 0.76), half=(0.3, 0.2))
_Region = tuple[slice, slice]  # rows and columns of a frame


def repeat_frames(frames_THWC: Bytes, frames: tuple[int, int]) -> Bytes:
    """Return the frames with those before [start, stop) shown again in it; `start` is at least the length."""
    start, stop = frames
    out_THWC = frames_THWC.copy()
    out_THWC[start:stop] = frames_THWC[2 * start - stop : start]
    return out_THWC


def still_mouth(frames_THWC: Bytes, boxes_T4: Floats, frames: tuple[int, int]) -> Bytes:
    """Return the frames with the mouth of frame `start` in [start, stop), moved with the face."""
    start, stop = frames
    out_THWC = frames_THWC.copy()
    for t in range(start, stop):
        region, weight_HW1 = _mask(boxes_T4[t], _MOUTH, frames_THWC.shape[1:3])
        patch_HWC = _follow(frames_THWC[start], boxes_T4[start], boxes_T4[t], region)
        _blend(out_THWC[t], patch_HWC, region, weight_HW1)
    return out_THWC


def swap_face(frames_THWC: Bytes, boxes_T4: Floats, donor_THWC: Bytes, donor_boxes_T4: Floats) -> Bytes:
    """Return the frames with another person's face in an ellipse over the face, in the colours of the first.

    The other person's frames run forwards and backwards where they are fewer.
    """
    out_THWC = frames_THWC.copy()
    last = len(donor_THWC) - 1
    for t in range(len(out_THWC)):
        other = last - abs(t % (2 * last) - last)
        region, weight_HW1 = _mask(boxes_T4[t], _FACE, frames_THWC.shape[1:3])
        patch_HWC = _follow(donor_THWC[other], donor_boxes_T4[other], boxes_T4[t], region).astype(np.float32)
        inside_HW = weight_HW1[..., 0] > 0.5
        here, there = frames_THWC[t][region][inside_HW].astype(np.float32), patch_HWC[inside_HW]
        gain = np.clip(here.std(0) / np.maximum(1, there.std(0)), 0.5, 2)
        matched_HWC = np.clip((patch_HWC - there.mean(0)) * gain + here.mean(0), 0, 255)
        _blend(out_THWC[t], matched_HWC, region, weight_HW1)
    return out_THWC


def _mask(box_4: Floats, part: _Part, size: tuple[int, ...]) -> tuple[_Region, np.ndarray]:
    """Return where a part of a face lies in a frame of (height, width), and its weights (H, W, 1) from 0 to 1 there.

    A part outside the frame has a region of one pixel, without weight.
    """
    width, height = max(1.0, box_4[2] - box_4[0]), max(1.0, box_4[3] - box_4[1])
    sigma = max(1.0, _FEATHER * width)
    x, y = box_4[0] + part.centre[0] * width, box_4[1] + part.centre[1] * height
    half_w, half_h = part.half[0] * width, part.half[1] * height
    edges = [
        (int(np.clip(middle - reach, 0, side - 1)), int(np.clip(middle + reach + 1, 1, side)))
        for middle, reach, side in ((y, half_h + 4 * sigma, size[0]), (x, half_w + 4 * sigma, size[1]))
    ]
    (top, bottom), (left, right) = edges
    weight_HW = np.zeros((bottom - top, right - left), np.float32)
    axes = (max(1, round(half_w)), max(1, round(half_h)))
    cv2.ellipse(weight_HW, (round(x) - left, round(y) - top), axes, 0, 0, 360, 1.0, -1)
    weight_HW = np.asarray(cv2.GaussianBlur(weight_HW, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT), np.float32)
    return (slice(top, bottom), slice(left, right)), weight_HW[..., None]


def _follow(image_HWC: Bytes, from_4: Floats, to_4: Floats, region: _Region) -> Bytes:
    """Return a region of the picture after it was moved and scaled so that the box `from_4` lies on `to_4`."""
    rows, columns = region
    scale = [(to_4[2 + axis] - to_4[axis]) / max(1.0, from_4[2 + axis] - from_4[axis]) for axis in (0, 1)]
    shift = [to_4[axis] - scale[axis] * from_4[axis] - (columns.start, rows.start)[axis] for axis in (0, 1)]
    matrix_23 = np.array([[scale[0], 0, shift[0]], [0, scale[1], shift[1]]])
    size = (columns.stop - columns.start, rows.stop - rows.start)
    moved = cv2.warpAffine(image_HWC, matrix_23, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.uint8)


def _blend(frame_HWC: Bytes, patch_HWC: np.ndarray, region: _Region, weight_HW1: np.ndarray) -> None:
    """Draw a patch into a region of the frame, in place, with these weights."""
    mixed_HWC = weight_HW1 * patch_HWC + (1 - weight_HW1) * frame_HWC[region]
    frame_HWC[region] = np.rint(mixed_HWC).astype(np.uint8)
