"""Pictures of a clip: small ones for figures and to tell people apart, and any frames at their stored size."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch

from avf_training.data.clip import Clip, decode_clip
from avf_training.data.decode import StoredAudio
from avf_training.data.transforms import crop_pixels
from avf_training.data.window_length import STRIDE
from avf_training.evaluation.multi_view import ViewParams

_THUMBNAIL_PX = 112


def thumbnails(files: dict[str, bytes], count: int) -> list[npt.NDArray[np.uint8]]:
    """Return `count` frames spread evenly over a clip, each (H, W, 3)."""
    total = StoredAudio(files["flac"]).frames
    # Frames on the stride are decoded without those between them (see data/decode.py).
    frames = np.linspace(0, total - 1, count).astype(int) // STRIDE * STRIDE
    return frames_as_pictures(files, frames.tolist(), _THUMBNAIL_PX)


def frames_as_pictures(
    files: Mapping[str, bytes], frames: Sequence[int], size_px: int | None = None
) -> list[npt.NDArray[np.uint8]]:
    """Return frames of a clip as RGB pictures, each (H, W, 3). Raises FaultError for a clip that cannot be read.

    Args:
        frames: numbers of the frames in rising order.
        size_px: edge of the pictures; None: as stored.
    """
    clip: Clip[ViewParams] = decode_clip(files, lambda *_: ViewParams(frames=tuple(frames), start_frame=0), 1)
    planes_1TRW = torch.from_numpy(clip.planes_TQW.copy())[None]
    width = planes_1TRW.shape[-1]
    full_frame_14 = torch.tensor([[0, 0, width, width]])
    pixels_CTHW = crop_pixels(planes_1TRW, torch.tensor([clip.full_range]), full_frame_14, size_px or width)[0]
    return list((pixels_CTHW * 255).round().byte().permute(1, 2, 3, 0).numpy())
