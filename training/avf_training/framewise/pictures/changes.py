"""The twelve changes of a picture that SUN's networks are trained with (P4 3.1), each with a probability of its own.

They are of a picture at the size of the network, so that a length in pixels means the same for every corpus. Bits,
factors and lengths are those of the authors' code, as the paper has none. Every number is drawn from the generator that
is given: the generator of a position gives the same picture on any rank and in any worker. P side of a picture.
"""

from collections.abc import Callable, Mapping

import numpy as np
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as pictures

from avf_training.framewise.models.static_input import letterbox
from avf_training.framewise.pictures.augment import Pixels
from avf_training.framewise.pictures.augment_config import PictureChanges

Square = Image.Image
Change = Callable[[Square, np.random.Generator], Square]

_PAD_PX = (1, 49)
_BRIGHTNESS, _CONTRAST, _SATURATION, _HUE = 0.5, 0.3, 0.3, 0.3  # largest deviations from 1; of hue: from 0, in turns
_NOISE_DEVIATIONS = (0.01, 0.1)  # of the range of a pixel; ours, for the paper names the noise alone
_BLUR_KERNEL_PX, _BLUR_SIGMAS_PX = (5, 9), (0.1, 5.0)
_DISTORTIONS = (0.3, 0.8)  # share of half a side by which a corner moves at most
_MOST_DEGREES = 89
_CROPPED_SIDES = (0.7, 0.9)  # share of the side that a crop has
_POSTERIZED_BITS, _POSTERIZED_SHARE = (1, 2), 0.5  # of the pictures that are drawn for it, half are left as they are
_SHARPNESS = (0.1, 3.0)


def change_picture(picture_HW3: Pixels, size_px: int, config: PictureChanges, random: np.random.Generator) -> Pixels:
    """Return a whole picture on a black square, with the changes that are drawn for it, (3, P, P)."""
    square_PP3 = letterbox(picture_HW3, size_px)
    changes = list_changes(config)
    drawn = random.random(len(changes)) < config.probability
    if drawn.any():
        picture = Image.fromarray(square_PP3)
        for change, is_drawn in zip(changes.values(), drawn.tolist(), strict=True):
            picture = change(picture, random) if is_drawn else picture
        square_PP3 = np.array(picture)
    return np.ascontiguousarray(square_PP3.transpose(2, 0, 1))


def list_changes(config: PictureChanges) -> Mapping[str, Change]:
    """Return the changes by name, in the order in which they are made."""
    return {
        "pad": _pad_and_crop,
        "grayscale": lambda picture, random: pictures.to_grayscale(picture, 3),
        "colour": _jitter_colour,
        config.noise: _add_noise if config.noise == "noise" else _blur,
        "perspective": _move_corners,
        "rotation": _rotate,
        "crop": _crop_and_resize,
        "posterize": _posterize,
        "sharpness": lambda picture, random: pictures.adjust_sharpness(picture, random.uniform(*_SHARPNESS)),
        "equalize": lambda picture, random: pictures.equalize(picture),
        "horizontal_flip": lambda picture, random: pictures.hflip(picture),
        "vertical_flip": lambda picture, random: pictures.vflip(picture),
    }


def _pad_and_crop(picture: Square, random: np.random.Generator) -> Square:
    """Move a picture within a black border."""
    border_px = int(random.integers(_PAD_PX[0], _PAD_PX[1] + 1))
    top_px, left_px = random.integers(2 * border_px + 1, size=2).tolist()
    padded: Square = pictures.pad(picture, [border_px])
    moved: Square = pictures.crop(padded, top_px, left_px, picture.height, picture.width)
    return moved


def _jitter_colour(picture: Square, random: np.random.Generator) -> Square:
    """Change brightness, contrast, saturation and hue, in an order that is drawn."""
    factors = {
        pictures.adjust_brightness: random.uniform(1 - _BRIGHTNESS, 1 + _BRIGHTNESS),
        pictures.adjust_contrast: random.uniform(1 - _CONTRAST, 1 + _CONTRAST),
        pictures.adjust_saturation: random.uniform(1 - _SATURATION, 1 + _SATURATION),
        pictures.adjust_hue: random.uniform(-_HUE, _HUE),
    }
    adjustments = list(factors)
    for number in random.permutation(len(adjustments)).tolist():
        picture = adjustments[number](picture, factors[adjustments[number]])
    return picture


def _add_noise(picture: Square, random: np.random.Generator) -> Square:
    """Add normal noise to each value of a picture."""
    deviation = 255 * random.uniform(*_NOISE_DEVIATIONS)
    pixels_PP3 = np.asarray(picture, np.float32)
    noise_PP3 = random.standard_normal(pixels_PP3.shape, np.float32) * np.float32(deviation)
    return Image.fromarray((pixels_PP3 + noise_PP3).round().clip(0, 255).astype(np.uint8))


def _blur(picture: Square, random: np.random.Generator) -> Square:
    blurred: Square = pictures.gaussian_blur(picture, list(_BLUR_KERNEL_PX), [random.uniform(*_BLUR_SIGMAS_PX)])
    return blurred


def _move_corners(picture: Square, random: np.random.Generator) -> Square:
    """Look at a picture from another side: each corner moves inwards."""
    right, bottom = picture.width - 1, picture.height - 1
    share = random.uniform(*_DISTORTIONS)
    most = np.array([share * picture.width / 2, share * picture.height / 2]).astype(np.int64) + 1
    moved_42 = random.integers(most, size=(4, 2))
    corners_42 = np.array([[0, 0], [right, 0], [right, bottom], [0, bottom]])
    ends_42 = corners_42 + moved_42 * np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]])
    turned: Square = pictures.perspective(picture, corners_42.tolist(), ends_42.tolist(), InterpolationMode.BILINEAR)
    return turned


def _rotate(picture: Square, random: np.random.Generator) -> Square:
    most_degrees = int(random.integers(_MOST_DEGREES + 1))
    degrees = random.uniform(-most_degrees, most_degrees)
    rotated: Square = pictures.rotate(picture, degrees, InterpolationMode.BILINEAR)
    return rotated


def _crop_and_resize(picture: Square, random: np.random.Generator) -> Square:
    """Cut a square out of a picture and enlarge it to the whole."""
    side_px = max(1, round(random.uniform(*_CROPPED_SIDES) * picture.width))
    top_px, left_px = random.integers(picture.width - side_px + 1, size=2).tolist()
    size = [picture.height, picture.width]
    enlarged: Square = pictures.resize(pictures.crop(picture, top_px, left_px, side_px, side_px), size)
    return enlarged


def _posterize(picture: Square, random: np.random.Generator) -> Square:
    """Leave one or two bits of each value, in half of the pictures."""
    bits = int(random.integers(_POSTERIZED_BITS[0], _POSTERIZED_BITS[1] + 1))
    posterized: Square = pictures.posterize(picture, bits) if random.random() < _POSTERIZED_SHARE else picture
    return posterized
