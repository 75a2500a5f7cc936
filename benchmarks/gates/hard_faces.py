"""Faces that detectors miss, made of easy ones: turned, blurred, small, masked, half hidden, squeezed and dark.

Shapes: H height, W width, C = 3 channels (BGR).
"""

from collections.abc import Callable

import cv2
import numpy as np
from avf_curation.media.types import Bytes
from avf_curation.stages.faces import Box

HARD_FACES = (
    "easy",
    "turned by 30 degrees",
    "turned by 45 degrees",
    "blurred",
    "32 px",
    "48 px",
    "masked",
    "half hidden",
    "squeezed",
    "dark",
)
_SKIN_BLUE = (200, 160, 90)  # BGR of a mask
_WALL_GREY = 110  # grey level of what stands before a face


def make_hard_face(frame_HWC: Bytes, face: Box, kind: str) -> tuple[Bytes, Box]:
    """Return the frame with its face made hard to find, and where the face is then.

    kind: one of HARD_FACES.
    """
    return _MAKERS[kind](frame_HWC, face)


def _turn(degrees: float) -> Callable[[Bytes, Box], tuple[Bytes, Box]]:
    def turn(frame_HWC: Bytes, face: Box) -> tuple[Bytes, Box]:
        height, width = frame_HWC.shape[:2]
        matrix = cv2.getRotationMatrix2D(face.centre, degrees, 1.0)
        return np.asarray(
            cv2.warpAffine(frame_HWC, matrix, (width, height), borderMode=cv2.BORDER_REFLECT), np.uint8
        ), face

    return turn


def _blur(frame_HWC: Bytes, face: Box) -> tuple[Bytes, Box]:
    return np.asarray(cv2.GaussianBlur(frame_HWC, (0, 0), face.side / 12), np.uint8), face


def _shrink_to(face_px: float) -> Callable[[Bytes, Box], tuple[Bytes, Box]]:
    def shrink(frame_HWC: Bytes, face: Box) -> tuple[Bytes, Box]:
        """Shrink the frame, and put it into the middle of a blurred and enlarged copy of itself."""
        height, width = frame_HWC.shape[:2]
        scale = min(1.0, face_px / face.side)
        small_HWC = cv2.resize(frame_HWC, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        canvas_HWC = np.asarray(cv2.GaussianBlur(frame_HWC, (0, 0), width / 12), np.uint8)
        top, left = (height - small_HWC.shape[0]) // 2, (width - small_HWC.shape[1]) // 2
        canvas_HWC[top : top + small_HWC.shape[0], left : left + small_HWC.shape[1]] = small_HWC
        return canvas_HWC, Box(
            left=face.left * scale + left,
            top=face.top * scale + top,
            right=face.right * scale + left,
            bottom=face.bottom * scale + top,
        )

    return shrink


def _mask(frame_HWC: Bytes, face: Box) -> tuple[Bytes, Box]:
    """Cover nose and mouth, as a mask of cloth does."""
    out_HWC = frame_HWC.copy()
    x, y = face.centre
    corners = [(-0.42, 0.05), (0.42, 0.05), (0.4, 0.35), (0.15, 0.55), (-0.15, 0.55), (-0.4, 0.35)]
    polygon = np.array([(x + dx * face.width, y + dy * face.height) for dx, dy in corners], np.int32)
    cv2.fillPoly(out_HWC, [polygon], _SKIN_BLUE)
    return out_HWC, face


def _hide_half(frame_HWC: Bytes, face: Box) -> tuple[Bytes, Box]:
    """Put a wall before the right half of the face."""
    out_HWC = frame_HWC.copy()
    out_HWC[:, round(face.centre[0]) : round(face.right + face.width / 2)] = _WALL_GREY
    return out_HWC, face


def _squeeze(frame_HWC: Bytes, face: Box) -> tuple[Bytes, Box]:
    """Make the picture three quarters as wide, as a wrong aspect ratio does."""
    squeezed = np.asarray(cv2.resize(frame_HWC, None, fx=0.75, fy=1.0, interpolation=cv2.INTER_AREA), np.uint8)
    return squeezed, Box(left=face.left * 0.75, top=face.top, right=face.right * 0.75, bottom=face.bottom)


def _darken(frame_HWC: Bytes, face: Box) -> tuple[Bytes, Box]:
    return np.asarray(np.round(frame_HWC * 0.2), np.uint8), face


_MAKERS: dict[str, Callable[[Bytes, Box], tuple[Bytes, Box]]] = {
    "easy": lambda frame_HWC, face: (frame_HWC, face),
    "turned by 30 degrees": _turn(30),
    "turned by 45 degrees": _turn(45),
    "blurred": _blur,
    "32 px": _shrink_to(32),
    "48 px": _shrink_to(48),
    "masked": _mask,
    "half hidden": _hide_half,
    "squeezed": _squeeze,
    "dark": _darken,
}
