"""Stored planes and sound to model input, on tensors, on any device: colour, crop, gain, fbank (HiCMAE 4.1).

Nothing random happens here: what was drawn comes with the batch. Shapes: B batch, T frames, Q = 3H / 2 rows of planes,
W width, S samples, M mel frames, F mels, L frames of sound before the cut to M.
"""

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from avf_training.data.colour import rgb, split
from avf_training.data.fbank import MEAN, SAMPLE_RATE_HZ, SHIFT_MS, TWO_STD, WINDOW_MS
from avf_training.models.config import Geometry
from avf_training.models.inputs import IMAGE_MEAN, IMAGE_STD

_PREEMPHASIS = 0.97
_WINDOW, _SHIFT = SAMPLE_RATE_HZ * WINDOW_MS // 1000, SAMPLE_RATE_HZ * SHIFT_MS // 1000
_FFT = 512
_CPU_CLIPS = 8  # whole pictures as floats; more at once make the system find the memory anew for each batch


def video_input(planes_BTQW: Tensor, full_range_B: Tensor, boxes_B4: Tensor, geometry: Geometry) -> Tensor:
    """Stored planes to the model's video, (B, 3, T, H, W): cropped to each clip's box, bilinear, ImageNet-normalised.

    boxes_B4: left, top, right, bottom in pixels of the stored picture.
    """
    few = len(planes_BTQW) if planes_BTQW.is_cuda else _CPU_CLIPS
    parts = zip(planes_BTQW.split(few), full_range_B.split(few), boxes_B4.split(few), strict=True)
    return torch.cat([normalize_pixels(crop_pixels(*part, geometry.size_px)) for part in parts])


def crop_pixels(planes_BTQW: Tensor, full_range_B: Tensor, boxes_B4: Tensor, size_px: int) -> Tensor:
    """Each clip's own box of its planes as RGB in [0, 1], (B, 3, T, size_px, size_px)."""
    luma, chroma = split(planes_BTQW)
    # Colour comes last: there is less to convert, and chroma is brought to size once.
    return rgb(resample_pixels(luma, boxes_B4, size_px), resample_pixels(chroma, boxes_B4 / 2, size_px), full_range_B)


def normalize_pixels(pixels_B3THW: Tensor) -> Tensor:
    """RGB in [0, 1] to ImageNet's mean 0 and deviation 1."""
    std, mean = (pixels_B3THW.new_tensor(v).view(1, 3, 1, 1, 1) for v in (IMAGE_STD, IMAGE_MEAN))
    return (pixels_B3THW - mean).div_(std)


def resample_pixels(pixels_BCTHW: Tensor, boxes_B4: Tensor, size_px: int) -> Tensor:
    """Each clip's own box, bilinear, to size_px x size_px. Pixel centres are at halves.

    A box whose right lies left of its left gives its mirror image.
    """
    size = pixels_BCTHW.shape[-1]
    at_P = (torch.arange(size_px, device=pixels_BCTHW.device) + 0.5) / size_px
    left, top, right, bottom = boxes_B4.to(pixels_BCTHW).unbind(1)
    x_BP = left[:, None] + at_P * (right - left)[:, None]
    y_BP = top[:, None] + at_P * (bottom - top)[:, None]
    grid = torch.stack(torch.broadcast_tensors(x_BP[:, None, :], y_BP[:, :, None]), -1) * (2 / size) - 1
    made = F.grid_sample(pixels_BCTHW.flatten(1, 2), grid, "bilinear", "border", align_corners=False)
    resized_BCTHW: Tensor = made.unflatten(1, pixels_BCTHW.shape[1:3])
    return resized_BCTHW


def audio_input(sound_BS: Tensor, samples_B: Tensor, gain_B: Tensor, geometry: Geometry) -> Tensor:
    """Stored sound to the model's, (B, 1, M, F): mean of the clip removed, gain as drawn, fbank, normalised."""
    return log_mel_batch(decode_waveform(sound_BS, samples_B, gain_B), samples_B, geometry)


def decode_waveform(sound_BS: Tensor, samples_B: Tensor, gain_B: Tensor) -> Tensor:
    """Stored sound (int16) to float, its mean removed, times its gain; 0 after its end."""
    wave_BS = sound_BS.float() / 32768
    inside_BS = torch.arange(wave_BS.shape[1], device=wave_BS.device) < samples_B[:, None]
    mean_B1 = wave_BS.sum(1, keepdim=True) / samples_B[:, None]
    return (wave_BS - mean_B1) * gain_B.to(wave_BS)[:, None] * inside_BS


def log_mel_batch(wave_BS: Tensor, samples_B: Tensor, geometry: Geometry) -> Tensor:
    """`fbank.log_mel` for a batch of float waves without mean, (B, 1, M, F); samples_B: how much of each is sound."""
    frames_BLW = wave_BS.unfold(1, _WINDOW, _SHIFT)
    frames_BLW = frames_BLW - frames_BLW.mean(-1, keepdim=True)
    before = F.pad(frames_BLW, (1, 0), mode="replicate")[..., :-1]
    window_W = torch.hann_window(_WINDOW, periodic=False, device=wave_BS.device, dtype=wave_BS.dtype)
    power = torch.fft.rfft((frames_BLW - _PREEMPHASIS * before) * window_W, _FFT).abs().square()
    bank_KF = _mel_bank(geometry.mels).to(power)
    mel_BLF = (power @ bank_KF).clamp_min(torch.finfo(torch.float32).eps).log()
    sounded_B = torch.div(samples_B - _WINDOW, _SHIFT, rounding_mode="floor") + 1
    inside_BL = torch.arange(mel_BLF.shape[1], device=wave_BS.device) < sounded_B[:, None]
    mel_BLF = mel_BLF * inside_BL[:, :, None]
    missing = max(0, geometry.mel_frames - mel_BLF.shape[1])
    filled = F.pad(mel_BLF, (0, 0, 0, missing))[:, : geometry.mel_frames]
    return ((filled - MEAN) / TWO_STD)[:, None]


@lru_cache(maxsize=4)
def _mel_bank(mels: int) -> Tensor:
    """kaldi's mel filters over the power spectrum, (bins, mels)."""
    from torchaudio.compliance.kaldi import get_mel_banks

    bank, _ = get_mel_banks(mels, _FFT, float(SAMPLE_RATE_HZ), 20.0, 0.0, 100.0, -500.0, 1.0)
    return F.pad(bank, (0, 1)).T.contiguous()
