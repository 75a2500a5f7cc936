"""Mixup and CutMix of clips, video and audio, sampled by position (HiCMAE 4.1; AVF-MAE++ Table 6).

Each clip is mixed with its neighbour in the stream. The order is shuffled, so a neighbour is as good as any other clip,
and the rank has decoded it already, except at an odd end of a rank's part of the step. Shapes: B clips, R rows (the
clips and those that only serve as partners), S samples, N classes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from avf_training.data.augment import Rectangle
from avf_training.data.augment_config import MixConfig


@dataclass(frozen=True, kw_only=True)
class MixParams:
    """Parameters of the mix of one clip with its partner."""

    share: float  # of the clip itself in the result, 0 to 1; the partner has the rest
    rectangle: Rectangle | None  # CutMix: pixels taken from the partner; None: the two are blended (mixup)
    sound_at: float  # CutMix: start of the partner's stretch of audio, 0 to 1 of the possible starts


def partner_position(position: int) -> int:
    """Return the position that is mixed into this one: pairs (0, 1), (2, 3), ... of the stream, in any world.

    At the odd end of a rank's part the partner belongs to another rank or the next step, and is decoded here as well.
    """
    return position ^ 1


def sample_mix(random: np.random.Generator, config: MixConfig, size_px: int) -> MixParams:
    """Sample how one clip is mixed."""
    # Drawn whether needed or not, so that turning one option off does not shift the numbers of the others.
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
    rectangle = Rectangle(left=left, top=top, width=right - left, height=bottom - top)
    # The share follows the area after clipping at the border, not the sampled one.
    return MixParams(share=1 - rectangle.width * rectangle.height / size_px**2, rectangle=rectangle, sound_at=sound_at)


def mix_video(own_BCTHW: Tensor, partner_BCTHW: Tensor, params: Sequence[MixParams]) -> Tensor:
    """Mix each clip's frames with its partner's: blend them, or replace the sampled rectangle."""
    blend = [1.0 if mix.rectangle else mix.share for mix in params]
    mixed_BCTHW = torch.lerp(partner_BCTHW, own_BCTHW, own_BCTHW.new_tensor(blend).view(-1, 1, 1, 1, 1))
    for row, source, mix in zip(mixed_BCTHW, partner_BCTHW, params, strict=True):
        if mix.rectangle:
            cut = mix.rectangle
            rows, columns = slice(cut.top, cut.top + cut.height), slice(cut.left, cut.left + cut.width)
            row[..., rows, columns] = source[..., rows, columns]
    return mixed_BCTHW


def mix_audio(own_BS: Tensor, partner_BS: Tensor, params: Sequence[MixParams]) -> Tensor:
    """Mix each clip's audio with its partner's: blend it, or replace a stretch as long as the rectangle is large."""
    samples = own_BS.shape[1]
    index_S = torch.arange(samples, device=own_BS.device)
    share_B1 = own_BS.new_tensor([[mix.share] for mix in params])
    length_B1 = ((1 - share_B1) * samples).round()
    start_B1 = (own_BS.new_tensor([[mix.sound_at] for mix in params]) * (samples - length_B1)).floor()
    replaced_BS = (index_S >= start_B1) & (index_S < start_B1 + length_B1)
    is_cutmix_B1 = torch.tensor([[mix.rectangle is not None] for mix in params], device=own_BS.device)
    blended_BS = torch.lerp(partner_BS, own_BS, share_B1)
    return torch.where(is_cutmix_B1, torch.where(replaced_BS, partner_BS, own_BS), blended_BS)


def mix_targets(own_BN: Tensor, partner_BN: Tensor, params: Sequence[MixParams]) -> Tensor:
    """Mix target distributions in the shares in which video and audio are mixed."""
    return torch.lerp(partner_BN, own_BN, own_BN.new_tensor([[mix.share] for mix in params]))


def smooth_labels(labels_R: Tensor, classes: int, smoothing: float) -> Tensor:
    """Return one-hot targets (R, N) with `smoothing` spread over all classes."""
    off = smoothing / classes
    targets_RN = torch.full((len(labels_R), classes), off, device=labels_R.device)
    return targets_RN.scatter_(1, labels_R[:, None], 1 - smoothing + off)
