"""Text that stays, as the name beside a logo or under a speaker, told by its look: over a still background too.

Letters are small, of one grey level, and stand out from what is around them; they follow each other in a row of one
height, with strokes of one width. Texture has such specks above and below as well, and a pattern repeats them. Text of
the scene before a still camera, as on a poster, cannot be told from it. Shapes: T frames, H height, W width.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from avf_curation.media.types import Bytes

_SIDE_PX = 640  # longer side of the picture in which letters are searched
_FRAMES = 9  # spread over the span
_STEADY_LEVELS = 25  # grey levels over which a pixel of a letter may range
_STROKE_PX = 9  # strokes are narrower than this
_MIN_STAND_OUT = 20  # grey levels between a stroke and what is beside it
_MIN_CONTRAST = 34.0  # of the middle of a letter's strokes
_MAX_UNEVENNESS = 0.112  # deviation of the grey levels in the middle of the strokes, over the contrast
_CORE = 0.7  # of the largest contrast, or half width: the middle of the strokes
_MIN_HEIGHT_PX, _MAX_HEIGHT = 6, 0.12  # of a letter; the second as a share of the picture's height
_MIN_WIDTH_PX, _MAX_ASPECT = 2, 2.5  # of a letter; the second is width over height
_MIN_AREA_PX, _MIN_CORE_PX, _MIN_FILL = 10, 5, 0.15  # the last is the area over that of the box
_CORNER, _BORDER = 0.3, 0.17  # zones of the picture where text lies, as shares of its sides
_MAX_GAP = 0.6  # between two letters, over the height
_HEIGHTS = (0.45, 2.2)  # of a letter over that of the first one
_WIDTHS = (0.5, 2.0)  # of a letter's strokes over that of the first one's
_MAX_LEVEL_STEP = 30  # grey levels between a letter and the first one
_MAX_SHIFT = 0.25  # of the upper or the lower edge from one letter to the next, over the height
_SAME_SHAPE = 0.8  # overlap of two letters, laid over each other, that repeat
_NEIGHBOURHOOD = 2.5  # heights above and below a row in which texture would go on
_TEXTURE = 1.0  # specks there, per letter
# Density of pixels that stand out above or below a row over that inside: text has up to 0.25, cloth from 0.66 on.
_MAX_DENSITY_BESIDE = 0.5


@dataclass(frozen=True, kw_only=True)
class _Letter:
    """A speck that may be a letter."""

    left: int  # pixels of the searched picture, as the next three
    top: int
    width: int
    height: int
    mask_HW: npt.NDArray[np.bool_]  # its pixels
    is_bright: bool  # brighter than what is around it
    level: float  # grey level in the middle of its strokes
    contrast: float  # grey levels to what is around it
    unevenness: float  # deviation of that level, over the contrast
    stroke_px: float  # half the width of its strokes

    @property
    def right(self) -> int:
        return self.left + self.width

    @property
    def bottom(self) -> int:
        return self.top + self.height

    @property
    def is_clear(self) -> bool:
        """Whether it is flat, stands out and fills its box as letters do."""
        is_full = self.mask_HW.mean() > _MIN_FILL
        return bool(is_full) and self.contrast > _MIN_CONTRAST and self.unevenness < _MAX_UNEVENNESS

    def lies_like_text(self, width_px: int, height_px: int) -> bool:
        """Return whether it is in a corner or at the upper or lower border of a picture of this size, but uncut."""
        if self.left == 0 or self.top == 0 or self.right == width_px or self.bottom == height_px:
            return False  # what is put over a picture leaves a margin
        x, y = (self.left + self.width / 2) / width_px, (self.top + self.height / 2) / height_px
        from_side, from_end = min(x, 1 - x), min(y, 1 - y)
        return (from_side < _CORNER and from_end < _CORNER) or from_end < _BORDER


def choose_frames(frames_THWC: Sequence[Bytes]) -> Sequence[Bytes]:
    """Return the frames of a span in which text is searched."""
    return frames_THWC[:: max(1, len(frames_THWC) // _FRAMES)][:_FRAMES]


def count_still_letters(frames_THW: Sequence[Bytes]) -> int:
    """Return the letters of the longest row of text that stays in a corner or at the upper or lower border.

    frames_THW: grey frames of one size, spread over the span.
    """
    stack_THW = np.stack([_enlarge(frame) for frame in frames_THW])
    median_HW = np.median(stack_THW, axis=0).astype(np.uint8)
    steady_HW = stack_THW.max(0) - stack_THW.min(0) < _STEADY_LEVELS  # of unsigned numbers, the larger one first
    height, width = median_HW.shape
    longest = 0
    for is_bright in (True, False):
        contrast_HW = _contrast(median_HW, is_bright)
        specks = _find_specks(median_HW, contrast_HW, steady_HW, is_bright)
        letters = [speck for speck in specks if speck.is_clear and speck.lies_like_text(width, height)]
        letters.sort(key=lambda letter: letter.left)
        for number in range(len(letters)):
            row = _follow_row(letters[number:])
            if len(row) > longest and not _repeats(row, letters) and not _is_texture(row, specks, contrast_HW):
                longest = len(row)
    return longest


def _enlarge(frame_HW: Bytes) -> Bytes:
    """Return the frame, enlarged to the searched size where it is smaller."""
    height, width = frame_HW.shape
    scale = _SIDE_PX / max(height, width)
    if scale <= 1:
        return frame_HW
    size = round(width * scale), round(height * scale)
    return np.asarray(cv2.resize(frame_HW, size, interpolation=cv2.INTER_CUBIC))


def _contrast(image_HW: Bytes, is_bright: bool) -> Bytes:
    """Return by how many grey levels each pixel of a narrow stroke is above what is beside it, or below."""
    square = np.ones((_STROKE_PX, _STROKE_PX), np.uint8)
    return np.asarray(cv2.morphologyEx(image_HW, cv2.MORPH_TOPHAT if is_bright else cv2.MORPH_BLACKHAT, square))


def _find_specks(
    image_HW: Bytes, contrast_HW: Bytes, steady_HW: npt.NDArray[np.bool_], is_bright: bool
) -> list[_Letter]:
    """Return the specks of the size of letters that stand out and stay."""
    mask_HW = ((contrast_HW > _MIN_STAND_OUT) & steady_HW).astype(np.uint8)
    _, labels_HW, stats, _ = cv2.connectedComponentsWithStats(mask_HW, connectivity=8)
    _, _, w, h, area = stats.T
    has_size = (h >= _MIN_HEIGHT_PX) & (h <= _MAX_HEIGHT * len(image_HW))
    has_size &= (w >= _MIN_WIDTH_PX) & (w <= _MAX_ASPECT * h) & (area >= _MIN_AREA_PX)
    has_size[0] = False  # what is no speck
    specks = []
    for label in np.flatnonzero(has_size):
        left, top, width, tall = (int(value) for value in stats[label][:4])
        box = slice(top, top + tall), slice(left, left + width)
        letter = _measure(
            left=left,
            top=top,
            mask_HW=labels_HW[box] == label,
            image_HW=image_HW[box],
            contrast_HW=contrast_HW[box],
            is_bright=is_bright,
        )
        if letter is not None:
            specks.append(letter)
    return specks


def _measure(
    *, left: int, top: int, mask_HW: npt.NDArray[np.bool_], image_HW: Bytes, contrast_HW: np.ndarray, is_bright: bool
) -> _Letter | None:
    """Return a speck with its measures; None where its strokes have no middle."""
    contrasts, levels = contrast_HW[mask_HW], image_HW[mask_HW]
    core = contrasts >= _CORE * contrasts.max()
    if core.sum() < _MIN_CORE_PX:
        return None
    contrast = float(np.median(contrasts[core]))
    depth_HW = cv2.distanceTransform(np.pad(mask_HW, 1).astype(np.uint8), cv2.DIST_L2, 3)
    return _Letter(
        left=left,
        top=top,
        width=mask_HW.shape[1],
        height=mask_HW.shape[0],
        mask_HW=mask_HW,
        is_bright=is_bright,
        level=float(np.median(levels[core])),
        contrast=contrast,
        unevenness=float(levels[core].std()) / contrast,
        stroke_px=float(depth_HW[depth_HW >= _CORE * depth_HW.max()].mean()),
    )


def _follow_row(letters: list[_Letter]) -> list[_Letter]:
    """Return the first letter and those that follow it in its row; `letters` are sorted from left to right."""
    first, *others = letters
    row = [first]
    for letter in others:
        last = row[-1]
        gap, height = letter.left - last.right, max(first.height, last.height, letter.height)
        if gap > 2 * first.height:
            break
        is_level = (
            min(abs(letter.bottom - last.bottom), abs(letter.top - last.top)) <= _MAX_SHIFT * height
            and _HEIGHTS[0] <= letter.height / first.height <= _HEIGHTS[1]
        )
        is_alike = (
            abs(letter.level - first.level) <= _MAX_LEVEL_STEP
            and _WIDTHS[0] <= letter.stroke_px / first.stroke_px <= _WIDTHS[1]
        )
        if -2 <= gap <= _MAX_GAP * height and is_level and is_alike:
            row.append(letter)
    return row


def _repeats(row: list[_Letter], letters: list[_Letter]) -> bool:
    """Return whether most letters of a row have a twin, as the parts of a pattern have."""
    twins = sum(any(_is_twin(letter, other) for other in letters if other is not letter) for letter in row)
    return twins > len(row) / 2


def _is_twin(first: _Letter, second: _Letter) -> bool:
    if abs(first.width - second.width) > 1 or abs(first.height - second.height) > 1:
        return False
    height, width = min(first.height, second.height), min(first.width, second.width)
    a_HW, b_HW = first.mask_HW[:height, :width], second.mask_HW[:height, :width]
    return int((a_HW & b_HW).sum()) > _SAME_SHAPE * int((a_HW | b_HW).sum())


def _is_texture(row: list[_Letter], specks: list[_Letter], contrast_HW: Bytes) -> bool:
    """Return whether what is above and below a row is like it: specks of its size, or as many pixels that stand out.

    The specks of cloth and wicker often hang together there, so that they have the size of letters in one row only.
    """
    left, right = min(letter.left for letter in row), max(letter.right for letter in row)
    top, bottom = min(letter.top for letter in row), max(letter.bottom for letter in row)
    height = float(np.median([letter.height for letter in row]))
    margin, reach = 0.3 * height, _NEIGHBOURHOOD * height
    beside = sum(
        speck.left < right
        and speck.right > left
        and (top - reach < speck.bottom <= top + margin or bottom - margin <= speck.top < bottom + reach)
        and 1 / _NEIGHBOURHOOD < speck.height / height < _NEIGHBOURHOOD
        for speck in specks
    )
    if beside >= _TEXTURE * len(row):
        return True
    columns_HW = contrast_HW[:, left:right] > _MIN_STAND_OUT
    near, far = round(margin), round(margin) + round(height)
    bands = [(top - far, top - near), (bottom + near, bottom + far)]
    shares = [columns_HW[start:stop].mean() for start, stop in bands if start >= 0 and stop <= len(contrast_HW)]
    return bool(shares) and min(shares) >= _MAX_DENSITY_BESIDE * columns_HW[top:bottom].mean()
