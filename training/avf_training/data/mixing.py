"""Mixup and CutMix of clips, picture and sound, by position (HiCMAE 4.1; AVF-MAE++ Table 6).

Each clip is mixed with its neighbour in the step: the order is shuffled, so a neighbour is as good as any, and a rank
holds it already but at the end of its part. Shapes: B clips, R rows with those only mixed in, S samples, N classes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from avf_training.data.augment import Rectangle


@dataclass(frozen=True, kw_only=True)
class MixConfig:
    """mixup, cutmix: parameter of their beta distributions, 0 leaves one out. cutmix_share: of clips where both are on.

    mix_sound: the authors leave the sound as it is (`official`), so that it belongs to one of two labels only.
    """

    mixup: float = 0.8
    cutmix: float = 1.0
    probability: float = 1.0
    cutmix_share: float = 0.5
    mix_sound: bool = True

    @property
    def any(self) -> bool:
        """Whether anything is mixed at all."""
        return self.probability > 0 and (self.mixup > 0 or self.cutmix > 0)


@dataclass(frozen=True, kw_only=True)
class MixParams:
    """share: how much of a clip stays its own. rectangle: what the other one's picture covers (CutMix), and sound_at:
    where its stretch of sound starts, as a share of what is left; None: both are blended (mixup).
    """

    share: float
    rectangle: Rectangle | None
    sound_at: float


def partner_position(position: int, first: int, batch: int) -> int:
    """The position whose clip is mixed into this one: its neighbour in the step of `batch` from `first` on."""
    inside = position - first
    other = inside ^ 1
    return first + (other if other < batch else max(0, inside - 1))


def sample_mix(random: np.random.Generator, config: MixConfig, size_px: int) -> MixParams:
    """How one clip is mixed."""
    applied, cut = random.random() < config.probability, random.random() < config.cutmix_share
    sound_at = float(random.random())
    if not applied or not config.any:
        return MixParams(share=1.0, rectangle=None, sound_at=sound_at)
    if config.cutmix <= 0 or (config.mixup > 0 and not cut):
        return MixParams(share=float(random.beta(config.mixup, config.mixup)), rectangle=None, sound_at=sound_at)
    half = int(size_px * math.sqrt(1 - random.beta(config.cutmix, config.cutmix))) // 2
    (left, right), (top, bottom) = (
        (max(0, centre - half), min(size_px, centre + half)) for centre in random.integers(size_px, size=2).tolist()
    )
    covered = Rectangle(left=left, top=top, width=right - left, height=bottom - top)
    return MixParams(share=1 - covered.width * covered.height / size_px**2, rectangle=covered, sound_at=sound_at)


def mix_video(own_BCTHW: Tensor, other_BCTHW: Tensor, draws: Sequence[MixParams]) -> Tensor:
    """Pictures with their partners' mixed in: blended, or the drawn rectangle replaced."""
    blend = [1.0 if draw.rectangle else draw.share for draw in draws]
    made = torch.lerp(other_BCTHW, own_BCTHW, own_BCTHW.new_tensor(blend).view(-1, 1, 1, 1, 1))
    for row, source, draw in zip(made, other_BCTHW, draws, strict=True):
        if draw.rectangle:
            cut = draw.rectangle
            rows, columns = slice(cut.top, cut.top + cut.height), slice(cut.left, cut.left + cut.width)
            row[..., rows, columns] = source[..., rows, columns]
    return made


def mix_audio(own_BS: Tensor, other_BS: Tensor, draws: Sequence[MixParams]) -> Tensor:
    """Sound with its partners' mixed in: blended, or a stretch replaced that is as large a share as the rectangle."""
    samples = own_BS.shape[1]
    at_S = torch.arange(samples, device=own_BS.device)
    share_B1 = own_BS.new_tensor([[draw.share] for draw in draws])
    length_B1 = ((1 - share_B1) * samples).round()
    start_B1 = (own_BS.new_tensor([[draw.sound_at] for draw in draws]) * (samples - length_B1)).floor()
    cut_BS = (at_S >= start_B1) & (at_S < start_B1 + length_B1)
    is_cut_B1 = torch.tensor([[draw.rectangle is not None] for draw in draws], device=own_BS.device)
    blended = torch.lerp(other_BS, own_BS, share_B1)
    return torch.where(is_cut_B1, torch.where(cut_BS, other_BS, own_BS), blended)


def mix_targets(own_BN: Tensor, other_BN: Tensor, draws: Sequence[MixParams]) -> Tensor:
    """Targets in the shares that picture and sound have."""
    return torch.lerp(other_BN, own_BN, own_BN.new_tensor([[draw.share] for draw in draws]))


def smooth_labels(labels_R: Tensor, classes: int, smoothing: float) -> Tensor:
    """One-hot targets (R, classes) with `smoothing` spread over all classes."""
    off = smoothing / classes
    hot_RN = torch.full((len(labels_R), classes), off, device=labels_R.device)
    return hot_RN.scatter_(1, labels_R[:, None], 1 - smoothing + off)
