"""Crops of frames with OpenCV: the clip's window, the crops of SyncNet and LR-ASD, and grey-level measures of crops."""

import cv2
import numpy as np

from avf_curation.media.types import Bytes

cv2.setNumThreads(1)  # a worker owns one core
SYNCNET_SIDE_PX = 224  # input of SyncNet's lip network
SPEAKER_SIDE_PX = 112  # input of LR-ASD: the middle of that crop
# Of the crop for LR-ASD: margin, grey level outside the frame, and frames of the median filter on centre and size.
SPEAKER_SCALE, SPEAKER_FILL, SPEAKER_MEDIAN = 0.40, 110, 13


def crop_square(frame_HWC: Bytes, centre: tuple[float, float], side_px: float, size_px: int, fill: int = 0) -> Bytes:
    """Return the square of `side_px` around `centre`, resized to (size_px, size_px, 3).

    Pixels outside the frame have the grey level `fill`.
    """
    side = max(2, round(side_px))
    left, top = round(centre[0] - side / 2), round(centre[1] - side / 2)
    return _resize(_cut_padded(frame_HWC, left, top, side, side, fill=fill), size_px, size_px)


def crop_for_syncnet(frame_HWC: Bytes, centre: tuple[float, float], half_px: float, scale: float, fill: int) -> Bytes:
    """Return the face crop of SyncNet's authors, (224, 224, 3).

    The crop reaches half_px above the centre, half_px * (1 + 2 * scale) below and half_px * (1 + scale) to the left and
    to the right: a square with a side of half_px * (2 + 2 * scale). SyncNet's thresholds hold for this crop only.
    """
    side = max(2, round(half_px * (2 + 2 * scale)))
    left, top = round(centre[0] - half_px * (1 + scale)), round(centre[1] - half_px)
    return _resize(_cut_padded(frame_HWC, left, top, side, side, fill=fill), SYNCNET_SIDE_PX, SYNCNET_SIDE_PX)


def crop_for_lr_asd(frame_HWC: Bytes, centre: tuple[float, float], half_px: float) -> Bytes:
    """Return the grey picture that LR-ASD sees of a face, (112, 112): the middle of the crop of SyncNet's authors."""
    syncnet_HWC = crop_for_syncnet(frame_HWC, centre, half_px, SPEAKER_SCALE, SPEAKER_FILL)
    margin = (SYNCNET_SIDE_PX - SPEAKER_SIDE_PX) // 2
    return to_grey(syncnet_HWC[margin : margin + SPEAKER_SIDE_PX, margin : margin + SPEAKER_SIDE_PX])


def _cut_padded(frame_HWC: Bytes, left: int, top: int, width: int, height: int, *, fill: int) -> Bytes:
    """Return the region, with `fill` where it lies outside the frame."""
    rows, columns = frame_HWC.shape[:2]
    x0, y0, x1, y1 = max(0, left), max(0, top), min(columns, left + width), min(rows, top + height)
    if (x0, y0, x1, y1) == (left, top, left + width, top + height):
        return frame_HWC[y0:y1, x0:x1]  # a view: most crops lie inside the frame
    out = np.full((height, width, *frame_HWC.shape[2:]), fill, np.uint8)
    if x1 > x0 and y1 > y0:
        out[y0 - top : y1 - top, x0 - left : x1 - left] = frame_HWC[y0:y1, x0:x1]
    return out


def _resize(frame_HWC: Bytes, width: int, height: int) -> Bytes:
    shrinking = frame_HWC.shape[0] > height
    # Area averages do not alias when shrinking, and show blocks when enlarging.
    interpolation = cv2.INTER_AREA if shrinking else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(frame_HWC, (width, height), interpolation=interpolation))


def to_grey(frame_HWC: Bytes) -> Bytes:
    """Return the luma of a BGR frame, (H, W)."""
    return np.asarray(cv2.cvtColor(frame_HWC, cv2.COLOR_BGR2GRAY))


def sharpness(grey_HW: Bytes) -> float:
    """Return the variance of the Laplacian: low for blurred images."""
    return float(cv2.Laplacian(grey_HW, cv2.CV_32F).var())


def gradient(grey_HW: Bytes) -> np.ndarray:
    """Return the gradient magnitude (Sobel 3x3), float32 (H, W)."""
    image = grey_HW.astype(np.float32)
    return np.asarray(cv2.magnitude(cv2.Sobel(image, cv2.CV_32F, 1, 0), cv2.Sobel(image, cv2.CV_32F, 0, 1)))


def resize_grey(grey_HW: Bytes, width: int, height: int) -> Bytes:
    """Shrink a grey frame by area averages."""
    return np.asarray(cv2.resize(grey_HW, (width, height), interpolation=cv2.INTER_AREA))


def encode_jpeg(frame_HWC: Bytes, quality: int = 80) -> bytes:
    """Encode a BGR frame as a JPEG for a report."""
    success, data = cv2.imencode(".jpg", frame_HWC, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not success:
        raise RuntimeError("a frame could not be encoded as JPEG")
    return bytes(data.tobytes())
