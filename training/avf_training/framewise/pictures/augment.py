"""A picture as training sees it: random resized crop, mirror, random erasing. P side of the model's input.

Every number is drawn from the generator that is given, in one fixed sequence: the generator of a position gives the
same picture on any rank and in any worker.
"""

import math

import numpy as np
import numpy.typing as npt
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as pictures

from avf_training.framewise.models.static_input import letterbox
from avf_training.framewise.pictures.augment_config import PictureAugment
from avf_training.models.inputs import IMAGE_MEAN, IMAGE_STD

Pixels = npt.NDArray[np.uint8]
_ASPECTS = (3 / 4, 4 / 3)  # of a crop
_ERASED_AREAS, _ERASED_ASPECTS = (0.02, 1 / 3), (0.3, 1 / 0.3)  # of an erased rectangle
_ATTEMPTS = 10  # at a rectangle that lies in the picture


def augment_picture(picture_HW3: Pixels, size_px: int, config: PictureAugment, random: np.random.Generator) -> Pixels:
    """Return a random part of a picture at the model's size, maybe mirrored, maybe partly erased, (3, P, P)."""
    top, left, height, width = _sample_crop(picture_HW3.shape[:2], (config.crop_low, config.crop_high), random)
    crop = picture_HW3[top : top + height, left : left + width]
    image = pictures.resize(pictures.to_pil_image(crop), [size_px, size_px], InterpolationMode.BICUBIC)
    pixels_PP3 = np.array(image)
    if random.random() < config.flip:
        pixels_PP3 = pixels_PP3[:, ::-1]
    if random.random() < config.erase:
        pixels_PP3 = _erase(pixels_PP3.copy(), random)
    return np.ascontiguousarray(pixels_PP3.transpose(2, 0, 1))


def whole_picture(picture_HW3: Pixels, size_px: int) -> Pixels:
    """Return a picture as it is scored and as extractors see it: all of it on a black square, (3, P, P)."""
    return np.ascontiguousarray(letterbox(picture_HW3, size_px).transpose(2, 0, 1))


def _sample_crop(
    size: tuple[int, ...], area_shares: tuple[float, float], random: np.random.Generator
) -> tuple[int, int, int, int]:
    """Return (top, left, height, width) of a crop; of the largest one in the middle where ten draws do not fit."""
    rows, columns = size
    for _ in range(_ATTEMPTS):
        box = _sample_box((rows, columns), area_shares, _ASPECTS, random)
        if box is not None:
            return box
    low, high = _ASPECTS
    width = min(columns, round(rows * high))
    height = min(rows, round(columns / low))
    return (rows - height) // 2, (columns - width) // 2, height, width


def _sample_box(
    size: tuple[int, int], area_shares: tuple[float, float], aspects: tuple[float, float], random: np.random.Generator
) -> tuple[int, int, int, int] | None:
    """Return (top, left, height, width) of a rectangle of a random area and aspect; None where it does not fit."""
    rows, columns = size
    area = rows * columns * random.uniform(*area_shares)
    aspect = math.exp(random.uniform(math.log(aspects[0]), math.log(aspects[1])))
    width, height = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
    if not (0 < width <= columns and 0 < height <= rows):
        return None
    return int(random.integers(rows - height + 1)), int(random.integers(columns - width + 1)), height, width


def _erase(pixels_PP3: Pixels, random: np.random.Generator) -> Pixels:
    """Fill a rectangle with normal noise of the pixels' mean and deviation, cut to 8 bits."""
    for _ in range(_ATTEMPTS):
        box = _sample_box(pixels_PP3.shape[:2], _ERASED_AREAS, _ERASED_ASPECTS, random)
        if box is not None:
            top, left, height, width = box
            noise_HW3 = random.standard_normal((height, width, 3)) * IMAGE_STD + IMAGE_MEAN
            pixels_PP3[top : top + height, left : left + width] = (noise_HW3 * 255).round().clip(0, 255)
            break
    return pixels_PP3
