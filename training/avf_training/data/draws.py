"""Every random choice about one clip, from its place in the stream alone: never from a worker's generator.

The same (order, seed, epoch, position) gives the same window, crop, gain and masks in any world.
"""

from dataclasses import dataclass

import numpy as np
from avf_shards.order import random_of

from avf_training.data.decode import STRIDE
from avf_training.masking import ClipMask, Masker

CROP_SCALES = (1.0, 0.875, 0.75, 0.66)  # multi-scale crop of pre-training (HiCMAE 4.1; AVF-MAE++ Table 5)
_MAX_DISTORT = 1  # width and height may be this many scales apart
# Corners, centre, middles of the sides, and halfway from the centre to the corners.
_PLACES = ((0, 0), (4, 0), (0, 4), (4, 4), (2, 2), (0, 2), (4, 2), (2, 4), (2, 0), (1, 1), (3, 1), (1, 3), (3, 3))


@dataclass(frozen=True)
class Crop:
    """A rectangle of the stored picture: scales of its side, and its place in quarters of what is free."""

    wide: float
    high: float
    quarter_x: int
    quarter_y: int

    def box(self, size_px: int) -> tuple[int, int, int, int]:
        """(left, top, right, bottom) in a square picture."""
        width, height = int(size_px * self.wide), int(size_px * self.high)
        left = self.quarter_x * ((size_px - width) // 4)
        top = self.quarter_y * ((size_px - height) // 4)
        return left, top, left + width, top + height


@dataclass(frozen=True)
class Draw:
    """The choices for one clip of pre-training. start_frame: of the window; gain: factor on the sound."""

    start_frame: int
    crop: Crop
    gain: float
    masks: ClipMask


def draw_pretraining(
    digest: str, epoch: int, position: int, total_frames: int, masker: Masker, official: bool = False
) -> Draw:
    """What pre-training does with the clip of `total_frames` at this place of the order `digest`.

    Windows start at multiples of 4, where the stride-aligned GOP is cheap to read; `official` takes any frame.
    """
    random = random_of(digest, "draw", epoch, position)
    last = max(0, total_frames - masker.frames * STRIDE)
    start = int(random.integers(last + 1)) if official else STRIDE * int(random.integers(last // STRIDE + 1))
    crop = _multi_scale_crop(random)
    gain = float(random.beta(10, 10)) + 0.5
    return Draw(start, crop, gain, masker.draw(random))


def _multi_scale_crop(random: np.random.Generator) -> Crop:
    """Two scales that are one step apart at most, at one of thirteen places."""
    steps = range(len(CROP_SCALES))
    pairs = [(w, h) for h in steps for w in steps if abs(w - h) <= _MAX_DISTORT]
    wide, high = pairs[int(random.integers(len(pairs)))]
    return Crop(CROP_SCALES[wide], CROP_SCALES[high], *_PLACES[int(random.integers(len(_PLACES)))])
