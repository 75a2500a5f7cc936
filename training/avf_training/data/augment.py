"""Augmentation of fine-tuning: RandAugment, random resized crop with mirror, random erasing (HiCMAE 4.1, AVF-MAE++).

Drawn by position, applied alike to all frames of a clip. Shapes: T frames, H W picture, both sides alike.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.v2 import functional as image

_LEVELS = 10  # RandAugment's scale of magnitudes
_APPLIED = 0.5  # share of the drawn operations that are applied
_GREY = 128  # where nothing of the picture is left
_TRIES = 10  # for a box that fits, before the whole picture (crop) or nothing (erasing) is taken


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """rand-m7-n4-mstd0.5-inc1 and what comes with it. layers: operations in a row; 0 leaves RandAugment out."""

    layers: int = 4
    magnitude: float = 7.0
    magnitude_std: float = 0.5
    crop_area: tuple[float, float] = (0.08, 1.0)
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    mirror: float = 0.5
    erase: float = 0.25
    erase_area: tuple[float, float] = (0.02, 1 / 3)
    erase_ratio: tuple[float, float] = (0.3, 1 / 0.3)


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One of RandAugment's, with its argument: degrees, factor, bits, threshold, share of a side."""

    name: str
    value: float


@dataclass(frozen=True, kw_only=True)
class Rectangle:
    """Pixels of a picture."""

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True, kw_only=True)
class Augment:
    """What was drawn for one clip. erased: filled with noise of erase_seed."""

    operations: tuple[Operation, ...]
    crop: Rectangle
    mirrored: bool
    erased: Rectangle | None
    erase_seed: int

    def box(self) -> tuple[int, int, int, int]:
        """The crop as (left, top, right, bottom), left and right swapped where it is mirrored."""
        left, right = self.crop.left, self.crop.left + self.crop.width
        ends = (right, left) if self.mirrored else (left, right)
        return ends[0], self.crop.top, ends[1], self.crop.top + self.crop.height


def sample_augment(random: np.random.Generator, config: AugmentConfig, size_px: int) -> Augment:
    """The choices for one clip of size_px x size_px."""
    operations = tuple(
        _operation(random, name, config)
        for name in random.choice(list(_OPERATIONS), config.layers)
        if random.random() < _APPLIED
    )
    crop = _rectangle(random, size_px, config.crop_area, config.crop_ratio)
    mirrored = bool(random.random() < config.mirror)
    erased = None
    if random.random() < config.erase:
        erased = _rectangle(random, size_px, config.erase_area, config.erase_ratio)
    whole = Rectangle(left=0, top=0, width=size_px, height=size_px)
    return Augment(
        operations=operations,
        crop=crop or whole,
        mirrored=mirrored,
        erased=erased,
        erase_seed=int(random.integers(2**63)),
    )


def _operation(random: np.random.Generator, name: str, config: AugmentConfig) -> Operation:
    level = min(_LEVELS, max(0.0, random.normal(config.magnitude, config.magnitude_std))) / _LEVELS
    sign = 1 if random.random() < 0.5 else -1
    return Operation(name=str(name), value=_OPERATIONS[name].value(level, sign))


def _rectangle(
    random: np.random.Generator, size_px: int, area: tuple[float, float], ratio: tuple[float, float]
) -> Rectangle | None:
    for _ in range(_TRIES):
        pixels = size_px**2 * random.uniform(*area)
        aspect = math.exp(random.uniform(math.log(ratio[0]), math.log(ratio[1])))
        width, height = round(math.sqrt(pixels * aspect)), round(math.sqrt(pixels / aspect))
        if 0 < width <= size_px and 0 < height <= size_px:
            left, top = (int(random.integers(size_px - side + 1)) for side in (width, height))
            return Rectangle(left=left, top=top, width=width, height=height)
    return None


def apply_operation(operation: Operation, x_T3HW: Tensor) -> Tensor:
    """One operation on uint8 frames."""
    return _OPERATIONS[operation.name].apply(x_T3HW, operation.value)


def erase_rectangles(x_3THW: Tensor, augment: Augment) -> Tensor:
    """Normalised frames with the drawn rectangle replaced by normal noise, the same on any device."""
    where = augment.erased
    if where is None:
        return x_3THW
    random = torch.Generator().manual_seed(augment.erase_seed)
    noise = torch.randn((*x_3THW.shape[:2], where.height, where.width), generator=random).to(x_3THW)
    made = x_3THW.clone()
    made[..., where.top : where.top + where.height, where.left : where.left + where.width] = noise
    return made


@dataclass(frozen=True, kw_only=True)
class _Kind:
    """value: an operation's argument from the level (0 to 1) and a random sign. apply: on uint8 frames (T, 3, H, W)."""

    value: Callable[[float, int], float]
    apply: Callable[[Tensor, float], Tensor]


def _rotated(x: Tensor, degrees: float) -> Tensor:
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return _affine(x, ((cos, -sin, 0.0), (sin, cos, 0.0)))


def _affine(x_T3HW: Tensor, matrix: tuple[tuple[float, float, float], tuple[float, float, float]]) -> Tensor:
    """Bicubic; `matrix` leads from a place in the result to one in the picture, both from -1 to 1."""
    grid_1HW2 = F.affine_grid(torch.tensor([matrix], device=x_T3HW.device), [1, *x_T3HW.shape[1:]], False)
    # All frames move alike, so they are channels of one picture; grey is 0, which is what lies outside.
    flat_1CHW = (x_T3HW.float() - _GREY).flatten(0, 1)[None]
    made = F.grid_sample(flat_1CHW, grid_1HW2, "bicubic", "zeros", align_corners=False)
    return (made + _GREY).round_().clamp_(0, 255).to(torch.uint8).view_as(x_T3HW)


def _solarized_by_adding(x: Tensor, more: float) -> Tensor:
    return torch.where(x < 128, (x.int() + int(more)).clamp_max(255).to(torch.uint8), x)


def _factor(level: float, sign: int) -> float:
    return max(0.1, 1 + sign * 0.9 * level)


def _none(level: float, sign: int) -> float:
    return 0.0


# The fifteen whose strength grows with the level, with RandAugment's usual arguments. Shear and translation count from
# the upper left corner.
_OPERATIONS = {
    "autocontrast": _Kind(value=_none, apply=lambda x, _: image.autocontrast(x)),
    "equalize": _Kind(value=_none, apply=lambda x, _: image.equalize(x)),
    "invert": _Kind(value=_none, apply=lambda x, _: 255 - x),
    "rotate": _Kind(value=lambda level, sign: sign * 30 * level, apply=_rotated),
    "posterize": _Kind(
        value=lambda level, _: 4 - int(4 * level), apply=lambda x, bits: x & (256 - 2 ** (8 - int(bits)))
    ),
    "solarize": _Kind(
        value=lambda level, _: 256 - int(256 * level), apply=lambda x, upto: torch.where(x < upto, x, 255 - x)
    ),
    "solarize_add": _Kind(value=lambda level, _: min(128, int(110 * level)), apply=_solarized_by_adding),
    "color": _Kind(value=_factor, apply=image.adjust_saturation),
    "contrast": _Kind(value=_factor, apply=image.adjust_contrast),
    "brightness": _Kind(value=_factor, apply=image.adjust_brightness),
    "sharpness": _Kind(value=_factor, apply=image.adjust_sharpness),
    "shear_x": _Kind(
        value=lambda level, sign: sign * 0.3 * level, apply=lambda x, by: _affine(x, ((1, by, by), (0, 1, 0)))
    ),
    "shear_y": _Kind(
        value=lambda level, sign: sign * 0.3 * level, apply=lambda x, by: _affine(x, ((1, 0, 0), (by, 1, by)))
    ),
    "translate_x": _Kind(
        value=lambda level, sign: sign * 0.45 * level, apply=lambda x, by: _affine(x, ((1, 0, 2 * by), (0, 1, 0)))
    ),
    "translate_y": _Kind(
        value=lambda level, sign: sign * 0.45 * level, apply=lambda x, by: _affine(x, ((1, 0, 0), (0, 1, 2 * by)))
    ),
}
