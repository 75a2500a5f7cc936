"""What each protocol puts into its detector. Shapes: T frames, H height, W width, C = 3 colours."""

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

PixelArray = npt.NDArray[np.uint8]
VIDEO_PX, PICTURE_PX = 224, 299
_HALF = 127.5  # of the range of a byte


def to_video(frames_THWC: PixelArray) -> Tensor:
    """Return frames as float64 of 0 to 255, (C, T, H, W)."""
    return torch.from_numpy(frames_THWC).permute(3, 0, 1, 2).double()


def crop_short_side(video_CTHW: Tensor) -> Tensor:
    """Return values of 0 to 255 as -1 to 1: the short side resized to 224, the middle cut out (common_metrics)."""
    height, width = video_CTHW.shape[-2:]
    scale = VIDEO_PX / min(height, width)
    # The longer side is rounded up, as there.
    size = [VIDEO_PX if edge == min(height, width) else int(np.ceil(edge * scale)) for edge in (height, width)]
    resized = _resize(video_CTHW, size)
    top, left = ((edge - VIDEO_PX) // 2 for edge in resized.shape[-2:])
    return resized[..., top : top + VIDEO_PX, left : left + VIDEO_PX] / _HALF - 1


def squash(video_CTHW: Tensor) -> Tensor:
    """Return values of 0 to 255 as -1 to 1, resized to 224 x 224 whatever the shape (cd-fvd, in float32 as there)."""
    return _resize(video_CTHW.float(), [VIDEO_PX, VIDEO_PX]) / _HALF - 1


def _resize(video_CTHW: Tensor, size: list[int]) -> Tensor:
    frames_TCHW = F.interpolate(video_CTHW.transpose(0, 1), size=size, mode="bilinear", align_corners=False)
    return frames_TCHW.transpose(0, 1)


def resize_clean(picture_HWC: PixelArray) -> Tensor:
    """Return a picture as clean-fid resizes it, (C, 299, 299) of 0 to 255: bicubic in float, channel by channel."""
    size = (PICTURE_PX, PICTURE_PX)
    channels = [
        np.asarray(Image.fromarray(picture_HWC[..., c].astype(np.float32)).resize(size, Image.Resampling.BICUBIC))
        for c in range(3)
    ]
    return torch.from_numpy(np.stack(channels).clip(0, 255))
