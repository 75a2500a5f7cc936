"""OpenCV: crops of frames. The clip's window (a still camera on a moving face) and SyncNet's own face crop."""

import cv2
import numpy as np

from avf_curation.media.types import Bytes

cv2.setNumThreads(1)


def crop_square(frame_HWC: Bytes, centre: tuple[float, float], side_px: float, size_px: int, fill: int = 0) -> Bytes:
    """The square of `side_px` around `centre` as (size_px, size_px, 3); what lies outside the picture is `fill`."""
    side = max(2, round(side_px))
    left, top = round(centre[0] - side / 2), round(centre[1] - side / 2)
    return _resized(_cut(frame_HWC, left, top, side, side, fill=fill), size_px, size_px)


def crop_for_syncnet(frame_HWC: Bytes, centre: tuple[float, float], half_px: float, scale: float, fill: int) -> Bytes:
    """SyncNet's crop, (224, 224, 3): half above the centre, half * (1 + 2 scale) below, half * (1 + scale) aside.

    The region is square: half * (2 + 2 scale) on both sides.
    """
    side = max(2, round(half_px * (2 + 2 * scale)))
    left, top = round(centre[0] - half_px * (1 + scale)), round(centre[1] - half_px)
    return _resized(_cut(frame_HWC, left, top, side, side, fill=fill), 224, 224)


def _cut(frame_HWC: Bytes, left: int, top: int, width: int, height: int, *, fill: int) -> Bytes:
    rows, columns = frame_HWC.shape[:2]
    x0, y0, x1, y1 = max(0, left), max(0, top), min(columns, left + width), min(rows, top + height)
    if (x0, y0, x1, y1) == (left, top, left + width, top + height):
        return frame_HWC[y0:y1, x0:x1]
    out = np.full((height, width, *frame_HWC.shape[2:]), fill, np.uint8)
    if x1 > x0 and y1 > y0:
        out[y0 - top : y1 - top, x0 - left : x1 - left] = frame_HWC[y0:y1, x0:x1]
    return out


def _resized(frame_HWC: Bytes, width: int, height: int) -> Bytes:
    shrinking = frame_HWC.shape[0] > height
    how = cv2.INTER_AREA if shrinking else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(frame_HWC, (width, height), interpolation=how))


def to_grey(frame_HWC: Bytes) -> Bytes:
    """(H, W) luma."""
    return np.asarray(cv2.cvtColor(frame_HWC, cv2.COLOR_BGR2GRAY))


def sharpness(grey_HW: Bytes) -> float:
    """Variance of the Laplacian."""
    return float(cv2.Laplacian(grey_HW, cv2.CV_32F).var())


def gradient(grey_HW: Bytes) -> np.ndarray:
    """Gradient magnitude (Sobel 3x3), float32 (H, W)."""
    image = grey_HW.astype(np.float32)
    return np.asarray(cv2.magnitude(cv2.Sobel(image, cv2.CV_32F, 1, 0), cv2.Sobel(image, cv2.CV_32F, 0, 1)))


def resize_grey(grey_HW: Bytes, width: int, height: int) -> Bytes:
    """Shrink by area."""
    return np.asarray(cv2.resize(grey_HW, (width, height), interpolation=cv2.INTER_AREA))


def encode_jpeg(frame_HWC: Bytes, quality: int = 80) -> bytes:
    """A picture for a page."""
    done, data = cv2.imencode(".jpg", frame_HWC, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise RuntimeError("a picture could not be encoded as JPEG")
    return bytes(data.tobytes())
