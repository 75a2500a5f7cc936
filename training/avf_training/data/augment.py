"""Augmentation of fine-tuning: RandAugment, random resized crop with flip, random erasing.

Sources: HiCMAE 4.1, AVF-MAE++ Table 6, the authors' scripts. The parameters are sampled per clip position and applied
alike to all frames of a clip. Shapes: T frames, H W height and width of square frames.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from avf_training.data.augment_config import AugmentConfig

_LEVELS = 10  # RandAugment's scale of magnitudes
_APPLY_PROBABILITY = 0.5  # of each sampled operation, as in timm's RandAugment
_GREY = 128  # fills the pixels that an affine operation uncovers
_TRIES = 10  # to find a rectangle that fits, before the full frame (crop) or nothing (erasing) is taken


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One RandAugment operation with its sampled argument."""

    name: str  # as in RandAugment's paper: rotate, posterize, ...
    value: float  # degrees, factor, bits, threshold or share of a side, as the operation takes it


@dataclass(frozen=True, kw_only=True)
class Rectangle:
    """A rectangle of a frame, in pixels."""

    left: int  # x of the left edge
    top: int  # y of the upper edge
    width: int  # along x
    height: int  # along y


@dataclass(frozen=True, kw_only=True)
class AugmentParams:
    """The augmentation sampled for one clip."""

    operations: tuple[Operation, ...]  # of RandAugment and the colour jitter, applied in this order
    crop: Rectangle  # of the frame, resized to the model's size afterwards
    flipped: bool  # horizontally, after the crop
    erased: Rectangle | None  # in the cropped and resized frame; None: nothing is erased
    erase_seed: int  # of the noise that fills the erased rectangle

    def box(self) -> tuple[int, int, int, int]:
        """Return the crop as (left, top, right, bottom) in pixels; left and right are swapped for a flipped clip."""
        left, right = self.crop.left, self.crop.left + self.crop.width
        ends = (right, left) if self.flipped else (left, right)
        return ends[0], self.crop.top, ends[1], self.crop.top + self.crop.height


def sample_augment(random: np.random.Generator, config: AugmentConfig, size_px: int) -> AugmentParams:
    """Sample the augmentation of one clip of size_px x size_px."""
    operations = tuple(
        _sample_operation(random, name, config)
        for name in random.choice(list(_OPERATIONS), config.layers)
        if random.random() < _APPLY_PROBABILITY
    )
    crop = _sample_rectangle(random, size_px, config.crop_area, config.crop_ratio)
    flipped = bool(random.random() < config.flip_probability)
    erased = None
    if random.random() < config.erase_probability:
        erased = _sample_rectangle(random, size_px, config.erase_area, config.erase_ratio)
    full_frame = Rectangle(left=0, top=0, width=size_px, height=size_px)
    erase_seed = int(random.integers(2**63))
    return AugmentParams(
        operations=(*operations, *_sample_jitter(erase_seed, config.colour_jitter)),
        crop=crop or full_frame,
        flipped=flipped,
        erased=erased,
        erase_seed=erase_seed,
    )


def _sample_jitter(seed: int, reach: float) -> list[Operation]:
    """Sample the colour jitter in a random order of its three operations.

    From a generator of its own, so that turning it on does not shift the other numbers.
    """
    if not reach:
        return []
    random = np.random.Generator(np.random.Philox(key=[seed, 1]))
    names = random.permutation(["brightness", "contrast", "color"])
    return [Operation(name=str(name), value=float(random.uniform(max(0.0, 1 - reach), 1 + reach))) for name in names]


def _sample_operation(random: np.random.Generator, name: str, config: AugmentConfig) -> Operation:
    level = min(_LEVELS, max(0.0, random.normal(config.magnitude, config.magnitude_std))) / _LEVELS
    sign = 1 if random.random() < 0.5 else -1
    return Operation(name=str(name), value=_OPERATIONS[name].argument(level, sign))


def _sample_rectangle(
    random: np.random.Generator, size_px: int, area: tuple[float, float], ratio: tuple[float, float]
) -> Rectangle | None:
    """Sample a rectangle whose share of the frame and aspect ratio lie in the given ranges; None when none fits."""
    for _ in range(_TRIES):
        pixels = size_px**2 * random.uniform(*area)
        # Uniform in the logarithm: a ratio and its inverse are equally likely.
        aspect = math.exp(random.uniform(math.log(ratio[0]), math.log(ratio[1])))
        width, height = round(math.sqrt(pixels * aspect)), round(math.sqrt(pixels / aspect))
        if 0 < width <= size_px and 0 < height <= size_px:
            left, top = (int(random.integers(size_px - side + 1)) for side in (width, height))
            return Rectangle(left=left, top=top, width=width, height=height)
    return None


def apply_operation(operation: Operation, frames_T3HW: Tensor) -> Tensor:
    """Apply one operation to uint8 frames and return frames of the same shape."""
    return _OPERATIONS[operation.name].apply(frames_T3HW, operation.value)


def erase_rectangles(frames_3THW: Tensor, params: AugmentParams) -> Tensor:
    """Replace the sampled rectangle of normalized frames by normal noise, which is the same on any device."""
    erased = params.erased
    if erased is None:
        return frames_3THW
    # Drawn on the CPU: generators of CPU and GPU give different numbers for one seed.
    random = torch.Generator().manual_seed(params.erase_seed)
    noise = torch.randn((*frames_3THW.shape[:2], erased.height, erased.width), generator=random).to(frames_3THW)
    result_3THW = frames_3THW.clone()
    result_3THW[..., erased.top : erased.top + erased.height, erased.left : erased.left + erased.width] = noise
    return result_3THW


@dataclass(frozen=True, kw_only=True)
class _OperationKind:
    """The two functions of a kind of operation: the computation of its argument, and the change of the frames."""

    argument: Callable[[float, int], float]  # from the level in [0, 1] and a random sign
    apply: Callable[[Tensor, float], Tensor]  # to uint8 frames (T, 3, H, W)


def _rotate(frames_T3HW: Tensor, degrees: float) -> Tensor:
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return _affine(frames_T3HW, ((cos, -sin, 0.0), (sin, cos, 0.0)))


def _affine(frames_T3HW: Tensor, matrix: tuple[tuple[float, float, float], tuple[float, float, float]]) -> Tensor:
    """Transform frames by bicubic sampling; `matrix` maps output to input coordinates, both in [-1, 1]."""
    grid_1HW2 = F.affine_grid(torch.tensor([matrix], device=frames_T3HW.device), [1, *frames_T3HW.shape[1:]], False)
    # All frames move alike, so they are channels of one image. grid_sample pads with 0: shifted by grey, 0 is grey.
    channels_1CHW = (frames_T3HW.float() - _GREY).flatten(0, 1)[None]
    moved_1CHW = F.grid_sample(channels_1CHW, grid_1HW2, "bicubic", "zeros", align_corners=False)
    return (moved_1CHW + _GREY).round_().clamp_(0, 255).to(torch.uint8).view_as(frames_T3HW)


def _solarize_add(frames_T3HW: Tensor, increase: float) -> Tensor:
    brighter = (frames_T3HW.int() + int(increase)).clamp_max(255).to(torch.uint8)
    return torch.where(frames_T3HW < 128, brighter, frames_T3HW)


def _enhancement_factor(level: float, sign: int) -> float:
    return max(0.1, 1 + sign * 0.9 * level)


def _no_argument(level: float, sign: int) -> float:
    return 0.0


# The fifteen operations of timm's increasing set (inc1), whose strength grows with the level. The origin of shear and
# translation is the upper left corner, as in Pillow.
def _torchvision() -> Any:
    """Return torchvision's operations; its import takes a second of every start, and only augmentation needs it."""
    from torchvision.transforms.v2 import functional

    return functional


_OPERATIONS = {
    "autocontrast": _OperationKind(argument=_no_argument, apply=lambda x, _: _torchvision().autocontrast(x)),
    "equalize": _OperationKind(argument=_no_argument, apply=lambda x, _: _torchvision().equalize(x)),
    "invert": _OperationKind(argument=_no_argument, apply=lambda x, _: 255 - x),
    "rotate": _OperationKind(argument=lambda level, sign: sign * 30 * level, apply=_rotate),
    "posterize": _OperationKind(
        argument=lambda level, _: 4 - int(4 * level), apply=lambda x, bits: x & (256 - 2 ** (8 - int(bits)))
    ),
    "solarize": _OperationKind(
        argument=lambda level, _: 256 - int(256 * level), apply=lambda x, limit: torch.where(x < limit, x, 255 - x)
    ),
    "solarize_add": _OperationKind(argument=lambda level, _: min(128, int(110 * level)), apply=_solarize_add),
    "color": _OperationKind(argument=_enhancement_factor, apply=lambda x, v: _torchvision().adjust_saturation(x, v)),
    "contrast": _OperationKind(argument=_enhancement_factor, apply=lambda x, v: _torchvision().adjust_contrast(x, v)),
    "brightness": _OperationKind(
        argument=_enhancement_factor, apply=lambda x, v: _torchvision().adjust_brightness(x, v)
    ),
    "sharpness": _OperationKind(argument=_enhancement_factor, apply=lambda x, v: _torchvision().adjust_sharpness(x, v)),
    "shear_x": _OperationKind(
        argument=lambda level, sign: sign * 0.3 * level, apply=lambda x, by: _affine(x, ((1, by, by), (0, 1, 0)))
    ),
    "shear_y": _OperationKind(
        argument=lambda level, sign: sign * 0.3 * level, apply=lambda x, by: _affine(x, ((1, 0, 0), (by, 1, by)))
    ),
    "translate_x": _OperationKind(
        argument=lambda level, sign: sign * 0.45 * level, apply=lambda x, by: _affine(x, ((1, 0, 2 * by), (0, 1, 0)))
    ),
    "translate_y": _OperationKind(
        argument=lambda level, sign: sign * 0.45 * level, apply=lambda x, by: _affine(x, ((1, 0, 0), (0, 1, 2 * by)))
    ),
}
