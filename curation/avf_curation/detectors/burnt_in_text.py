"""Text that is burnt into the picture and does not stay: subtitles, whose lines come and go, and tickers, which move.

The edges of a line come or go all at once, in many directions, and those of its strokes face each other a few pixels
apart; what people wear and do at the lower border never did all three. A ticker is a strip of the picture that moves
along its rows at one speed while the scene does not. Both are told over a still background too. Shapes: T frames,
H height, W width.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from avf_curation.detectors.overlay import MIN_DIRECTIONS, GreyImage, Mask
from avf_curation.media.types import Bytes

FRAMES_PER_S = 5  # frames a second that are looked at
MIN_EDGE = 14.0  # grey levels per pixel: text is made to be read
SAME_DIRECTION = 0.9  # cosine of the angle between the gradients of an edge that stays
LINE_FRAMES = 5  # for so long a line stays
SUBTITLE_ROWS = 0.55  # share of the height above which no subtitles are searched
MAX_LINE_HEIGHT = 0.2  # of the picture: two rows of text
MIN_LINE_PX = 60  # edge pixels: fewer are not looked at
STROKE_PX = 7  # between the two edges of a stroke, or of the space between two
MIN_STROKES = (
    0.2  # pairs of such edges per edge pixel; measured: lines 0.25 and up, what else comes or goes at once 0.15
)
_JOINED_PX = (5, 17)  # height and width of the element that joins strokes to lines

STRIP_HEIGHT = 0.09  # of the picture
STRIPS = (0.74, 0.8, 0.86, 0.91, 0.03)  # tops of the strips in which a ticker is searched, as shares
SCENE_STRIPS = (0.15, 0.24, 0.33, 0.42, 0.51)  # tops of strips that show the scene, of which none may move along
MIN_SHIFT_PX = 2  # from frame to frame
SPEED_PX = 1  # by which the shift of a ticker varies
MIN_CORRELATION = 0.5  # of a strip and the one before it, moved


@dataclass(frozen=True, kw_only=True)
class BurntInText:
    """Text that comes and goes, or moves."""

    subtitle_px: int  # edge pixels of the largest line that comes or goes; 0: there is none
    ticker_share: float  # of the time, in which a strip moves along its rows and the scene does not


def find_burnt_in_text(frames_THW: Sequence[Bytes], frames_per_s: float) -> BurntInText:
    """Return the burnt-in text of a span.

    frames_THW: grey frames of one size, 320 pixels on their longer side or about.
    """
    step = max(1, round(frames_per_s / FRAMES_PER_S))
    frames_THW = frames_THW[::step]
    if len(frames_THW) <= LINE_FRAMES:
        return BurntInText(subtitle_px=0, ticker_share=0.0)
    height = len(frames_THW[0])
    top = int(SUBTITLE_ROWS * height)
    gx_THW: GreyImage = np.stack(
        [cv2.Sobel(frame, cv2.CV_32F, 1, 0, scale=1 / 8) for frame in frames_THW], dtype=np.float32
    )
    # One row more: the gradient of the first row needs the row above.
    lower_THW = [frame[top - 1 :] for frame in frames_THW]
    gy_THW: GreyImage = np.stack(
        [cv2.Sobel(rows, cv2.CV_32F, 0, 1, scale=1 / 8)[1:] for rows in lower_THW], dtype=np.float32
    )
    return BurntInText(
        subtitle_px=_find_subtitles(gx_THW[:, top:], gy_THW, MAX_LINE_HEIGHT * height),
        ticker_share=_measure_ticker(gx_THW),
    )


def _find_subtitles(gx_THW: GreyImage, gy_THW: GreyImage, max_height_px: float) -> int:
    """Return the edge pixels of the largest line of text that comes or goes."""
    square_THW = gx_THW * gx_THW + gy_THW * gy_THW
    strong_THW = square_THW > MIN_EDGE**2
    products_THW = gx_THW[:-1] * gx_THW[1:] + gy_THW[:-1] * gy_THW[1:]
    stays_THW = strong_THW[:-1] & strong_THW[1:] & (products_THW > 0)
    stays_THW &= products_THW * products_THW > SAME_DIRECTION**2 * square_THW[:-1] * square_THW[1:]
    largest = 0
    for time, edges_HW in _sudden_edges(stays_THW):
        smallest = max(largest, MIN_LINE_PX)
        if np.count_nonzero(edges_HW) <= smallest:
            continue
        # Groups are searched only where there are strokes enough for a larger line.
        if _count_strokes(edges_HW, gx_THW[time], gy_THW[time]) > MIN_STROKES * smallest:
            largest = max(largest, _largest_line(edges_HW, gx_THW[time], gy_THW[time], max_height_px))
    return largest


def _measure_ticker(gx_THW: GreyImage) -> float:
    """Return the share of the time in which a strip of the picture moves along its rows, and the scene does not."""
    height = gx_THW.shape[1]

    def shifts(top: float) -> tuple[npt.NDArray[np.int64], Mask]:
        """Return the shifts of a strip, and where they are certain."""
        strip_THW = gx_THW[:, int(top * height) : max(1, int((top + STRIP_HEIGHT) * height))]
        shifts_T, correlations_T = _row_shifts(strip_THW)
        return shifts_T, np.asarray(correlations_T > MIN_CORRELATION)

    share = 0.0
    for top in STRIPS:
        shifts_T, is_sure_T = shifts(top)
        speed = float(np.median(shifts_T))
        is_even_T = is_sure_T & (np.abs(shifts_T - speed) <= SPEED_PX)
        if abs(speed) < MIN_SHIFT_PX or is_even_T.mean() <= share:
            continue
        for scene_top in SCENE_STRIPS:
            scene_T, is_sure_T = shifts(scene_top)
            is_even_T &= ~(is_sure_T & (np.abs(scene_T - speed) <= 2 * SPEED_PX))
        share = max(share, float(is_even_T.mean()))
    return share


def _sudden_edges(stays_THW: Mask) -> Iterator[tuple[int, Mask]]:
    """Yield for each moment the edges that begin to last then, and those that cease, with a frame that shows them.

    stays_THW: whether a pixel has the same edge in a frame and in the next one.
    """
    steps = LINE_FRAMES - 1
    count = len(stays_THW)
    lasts_THW = np.logical_and.reduce([stays_THW[first : count - steps + 1 + first] for first in range(steps)])
    begins_THW, ends_THW = lasts_THW[1:] & ~stays_THW[: count - steps], lasts_THW[:-1] & ~stays_THW[steps:]
    for time, (begin_HW, end_HW) in enumerate(zip(begins_THW, ends_THW, strict=True)):
        yield time + 2, begin_HW
        yield time + steps - 1, end_HW


def _largest_line(edges_HW: Mask, gx_HW: GreyImage, gy_HW: GreyImage, max_height_px: float) -> int:
    """Return the edge pixels of the largest group of edges that looks like a line of text."""
    groups_HW = cv2.morphologyEx(edges_HW.astype(np.uint8), cv2.MORPH_CLOSE, np.ones(_JOINED_PX, np.uint8))
    count, labels_HW, stats, _ = cv2.connectedComponentsWithStats(groups_HW)
    largest = 0
    for label in range(1, count):
        left, top, width, height = (int(value) for value in stats[label][:4])
        if height > max_height_px or width < height:
            continue
        box = slice(top, top + height), slice(left, left + width)
        group_HW = (labels_HW[box] == label) & edges_HW[box]
        pixels = int(group_HW.sum())
        if pixels <= max(largest, MIN_LINE_PX):
            continue
        angles = np.arctan2(gy_HW[box][group_HW], gx_HW[box][group_HW])
        if 1 - abs(np.exp(2j * angles).mean()) < MIN_DIRECTIONS:
            continue
        if _count_strokes(group_HW, gx_HW[box], gy_HW[box]) >= MIN_STROKES * pixels:
            largest = pixels
    return largest


def _count_strokes(group_HW: Mask, gx_HW: GreyImage, gy_HW: GreyImage) -> int:
    """Return how often two upright edges of opposite direction follow each other closely in a row."""
    rows, columns = np.nonzero(group_HW)  # row by row, from left to right
    gx = gx_HW[rows, columns]
    is_upright = np.abs(gx) > np.abs(gy_HW[rows, columns])
    rows, columns, signs = rows[is_upright], columns[is_upright], np.sign(gx[is_upright])
    is_pair = (np.diff(rows) == 0) & (np.diff(columns) <= STROKE_PX) & (signs[1:] != signs[:-1])
    return int(is_pair.sum())


def _row_shifts(gx_THW: GreyImage) -> tuple[npt.NDArray[np.int64], GreyImage]:
    """Return by how many pixels the upright edges of a strip move along the rows to the next frame, and how surely.

    The second is the correlation of the two, moved, (T - 1,) as the first.
    """
    width = gx_THW.shape[2]
    profiles_TW = gx_THW.sum(1) * np.hanning(width)
    sizes_T = np.sqrt((profiles_TW**2).sum(1)) + 1e-3
    spectra_TF = np.fft.rfft(profiles_TW, axis=1)
    products_TW = np.fft.irfft(spectra_TF[1:] * np.conj(spectra_TF[:-1]), n=width, axis=1)
    shifts_T = products_TW.argmax(1)
    correlations_T = products_TW.max(1) / (sizes_T[1:] * sizes_T[:-1])
    return np.where(shifts_T > width // 2, shifts_T - width, shifts_T), np.asarray(correlations_T, np.float32)
