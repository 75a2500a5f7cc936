"""Small pictures of a clip, for figures and to tell people apart."""

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
    clip: Clip[ViewParams] = decode_clip(files, lambda _: ViewParams(frames=tuple(frames.tolist()), start_frame=0), 1)
    planes_1TRW = torch.from_numpy(clip.planes_TQW.copy())[None]
    full_frame_14 = torch.tensor([[0, 0, planes_1TRW.shape[-1], planes_1TRW.shape[-1]]])
    pixels_CTHW = crop_pixels(planes_1TRW, torch.tensor([clip.full_range]), full_frame_14, _THUMBNAIL_PX)[0]
    return list((pixels_CTHW * 255).round().byte().permute(1, 2, 3, 0).numpy())
