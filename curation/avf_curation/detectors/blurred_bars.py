"""Finds bars at two opposite sides of the picture that show the picture itself, enlarged and blurred.

Vertical film in a wide frame has them. A wall on either side of a door, or a blurred background behind a person, is
smooth too; but bars are of one width, end in a straight line that no frame moves, are smooth up to that line, and show
a copy of what lies between them. All of it is asked for.
"""

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from avf_curation.media.types import Bytes
from avf_curation.stages.quality import Margins

FRAMES = 8  # looked at, over all of the span
MIN_STEP = 5  # grey levels across the line; about twice the noise of encoded film
REACH_PX = 3  # from the line outwards to where a bar is smooth
MIN_WIDTH_PX = 32  # of a frame: in narrower ones too few columns lie between the bars
MIN_SHARE, MAX_SHARE = 0.08, 0.42  # of the picture's side that one bar takes
MAX_UNEVEN = 0.012  # between the two bars, of the picture's side
MIN_LINE = 0.4  # of the line that is a step, in every frame; measured: bars 0.47 and up in 95 of 100, scenes up to 0.37
MAX_DETAIL = 0.4  # of the detail between the bars that a bar has, in every frame; measured: bars up to 0.34
MIN_COPY = 0.95  # correlation of the bars with the enlarged picture; measured: 0.959 and up
CELLS = 32  # cells along the picture's width in which bars and picture are compared
CELL_BLURS = (0.6, 1.5)  # cells: sigmas of the blurs that copies are compared with; the better one counts
Shares = npt.NDArray[np.float64]


def find_blurred_bars(frames_THW: Sequence[Bytes]) -> Margins:
    """Return the columns and rows at the borders that show a blurred copy of the picture; 0 where there are none.

    Args:
        frames_THW: grey frames of one shot.
    """
    chosen = np.unique(np.linspace(0, len(frames_THW) - 1, FRAMES).round().astype(int))
    frames = np.stack([frames_THW[index] for index in chosen])
    left, right = _find_columns(frames)
    top, bottom = _find_columns(np.ascontiguousarray(frames.transpose(0, 2, 1)))
    return Margins(top=top, bottom=bottom, left=left, right=right)


def _find_columns(frames_THW: Bytes) -> tuple[int, int]:
    """Count the columns of the bars at the left and at the right; (0, 0) without bars."""
    width = frames_THW.shape[2]
    if width < MIN_WIDTH_PX:
        return 0, 0
    lines_2W = _line_shares(frames_THW)
    narrowest = max(2 * REACH_PX, round(MIN_SHARE * width))
    left, right, share = _most_even_pair(lines_2W, narrowest, round(MAX_SHARE * width))
    if share < MIN_LINE or _detail_outside(frames_THW, left, right) > MAX_DETAIL:
        return 0, 0
    return (left, right) if _likeness(frames_THW, left, right) >= MIN_COPY else (0, 0)


def _line_shares(frames_THW: Bytes) -> Shares:
    """Return the share of rows in which a smooth bar ends in a step at each column, in the worst frame.

    Shape (2, W): columns counted from the left border for a bar there, and from the right one.
    """
    frames, height, width = frames_THW.shape
    rows = frames_THW.reshape(frames * height, width)
    steps = np.zeros_like(rows)
    steps[:, 1:-1] = cv2.absdiff(np.ascontiguousarray(rows[:, 2:]), np.ascontiguousarray(rows[:, :-2]))
    is_step, halves = steps >= MIN_STEP, steps >> 1
    shares = np.zeros((2, width))
    for side, step, half, beside in (
        (0, is_step[:, REACH_PX:], halves[:, REACH_PX:], steps[:, :-REACH_PX]),
        (1, is_step[:, :-REACH_PX], halves[:, :-REACH_PX], steps[:, REACH_PX:]),
    ):
        ends = (step & (half >= beside)).reshape(frames, height, -1).mean(1).min(0)
        shares[side, REACH_PX:] = ends if side == 0 else ends[::-1]
    return shares


def _most_even_pair(lines_2W: Shares, low: int, high: int) -> tuple[int, int, float]:
    """Return the widths of the two bars of nearly one width whose weaker line is the strongest, and its share."""
    best = 0, 0, 0.0
    uneven = max(1, round(MAX_UNEVEN * lines_2W.shape[1]))
    for offset in sorted(range(-uneven, uneven + 1), key=abs):
        first = max(low, low - offset)
        last = min(high, high - offset)
        weaker = np.minimum(lines_2W[0, first:last], lines_2W[1, first + offset : last + offset])
        if len(weaker) and weaker.max() > best[2]:
            left = first + int(weaker.argmax())
            best = left, left + offset, float(weaker.max())
    return best


def _detail_outside(frames_THW: Bytes, left: int, right: int) -> float:
    """Return the detail of the sharper bar as a share of that between the bars, in the worst frame."""
    shares = []
    for frame in frames_THW:
        detail_W = np.abs(cv2.Laplacian(frame, cv2.CV_16S)).mean(0)
        inside = detail_W[left + REACH_PX : len(detail_W) - right - REACH_PX].mean()
        bars = max(detail_W[: left - REACH_PX].mean(), detail_W[len(detail_W) - right + REACH_PX :].mean())
        shares.append(bars / max(inside, 1e-9))
    return float(max(shares))


def _likeness(frames_THW: Bytes, left: int, right: int) -> float:
    """Return the correlation of both bars with the picture between them when that is enlarged to the frame.

    It is enlarged alike in both directions and cut off, or stretched in one, and blurred less or more; the best of
    these counts, in the middle one of the frames.
    """
    _, height, width = frames_THW.shape
    cut = (height - round(height * (width - left - right) / width)) // 2
    cells = CELLS, max(4, round(CELLS * height / width))
    is_bar = np.ones(CELLS, bool)
    is_bar[left * CELLS // width : CELLS - right * CELLS // width] = False
    shown = [_shrink(frame, cells)[:, is_bar] for frame in frames_THW]
    likenesses = []
    for top in (cut, 0):
        inner_THW = frames_THW[:, top : height - top, left + 1 : width - right - 1]
        enlarged = [_shrink(inner_HW, cells) for inner_HW in inner_THW]
        for sigma in CELL_BLURS:
            copies = [_blur(cells_HW, sigma)[:, is_bar] for cells_HW in enlarged]
            likenesses.append(np.median([_correlation(a, b) for a, b in zip(shown, copies, strict=True)]))
    return float(max(likenesses))


def _shrink(frame_HW: Bytes, size: tuple[int, int]) -> Bytes:
    """Return the frame in another size (width, height), by area averages."""
    return np.asarray(cv2.resize(np.ascontiguousarray(frame_HW), size, interpolation=cv2.INTER_AREA))


def _blur(cells_HW: Bytes, sigma: float) -> Bytes:
    return np.asarray(cv2.GaussianBlur(cells_HW, (0, 0), sigma), np.uint8)


def _correlation(a: Bytes, b: Bytes) -> float:
    """Return the correlation of two images of grey levels; 0 where one of them is flat."""
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1]) if a.std() > 0 and b.std() > 0 else 0.0
