"""Stored planes and audio to model input, on tensors, on any device: colour, crop, gain, fbank (HiCMAE 4.1).

Nothing random happens here: the sampled parameters come with the batch. Shapes: B clips, T frames, Q = 3H / 2 rows of
planes, W width, S samples, M mel frames, F mel bands, L mel frames before the cut to M, K frequency bins.
"""

from functools import lru_cache

import torch
import torch.nn.functional as F
from avf_shards.timeline import SAMPLE_RATE_HZ
from torch import Tensor

from avf_training.data.colour import planes_to_rgb, split_planes
from avf_training.data.fbank import INT16_SCALE, MEAN, SHIFT_MS, TWO_STD, WINDOW_MS
from avf_training.models.config import Geometry
from avf_training.models.inputs import IMAGE_MEAN, IMAGE_STD

# kaldi's defaults, which the authors leave as they are.
_PREEMPHASIS = 0.97
_LOW_HZ = 20.0
_WINDOW, _SHIFT = SAMPLE_RATE_HZ * WINDOW_MS // 1000, SAMPLE_RATE_HZ * SHIFT_MS // 1000
_FFT = 512  # kaldi rounds the window of 400 samples up to a power of two
_CPU_CLIPS = 8  # clips converted to float at once on a CPU; with more the system maps new memory for each batch


def video_input(planes_BTQW: Tensor, full_range_B: Tensor, boxes_B4: Tensor, geometry: Geometry) -> Tensor:
    """Convert stored planes to the model's video, (B, 3, T, H, W): cropped, resized bilinearly, ImageNet-normalized.

    boxes_B4 holds left, top, right, bottom in pixels of the stored frames.
    """
    clips = len(planes_BTQW) if planes_BTQW.is_cuda else _CPU_CLIPS
    parts = zip(planes_BTQW.split(clips), full_range_B.split(clips), boxes_B4.split(clips), strict=True)
    return torch.cat([normalize_pixels(crop_pixels(*part, geometry.size_px)) for part in parts])


def crop_pixels(planes_BTQW: Tensor, full_range_B: Tensor, boxes_B4: Tensor, size_px: int) -> Tensor:
    """Return each clip's box of its planes as RGB in [0, 1], (B, 3, T, size_px, size_px)."""
    luma, chroma = split_planes(planes_BTQW)
    # Colour is converted last: after the crop there are fewer pixels, and chroma is resized only once.
    return planes_to_rgb(
        resample_pixels(luma, boxes_B4, size_px), resample_pixels(chroma, boxes_B4 / 2, size_px), full_range_B
    )


def normalize_pixels(pixels_B3THW: Tensor) -> Tensor:
    """Normalize RGB in [0, 1] by ImageNet's mean and standard deviation."""
    std, mean = (pixels_B3THW.new_tensor(v).view(1, 3, 1, 1, 1) for v in (IMAGE_STD, IMAGE_MEAN))
    return (pixels_B3THW - mean).div_(std)


def resample_pixels(pixels_BCTHW: Tensor, boxes_B4: Tensor, size_px: int) -> Tensor:
    """Resize each clip's box bilinearly to size_px x size_px, (B, C, T, size_px, size_px).

    Pixel centres lie at half integers. A box whose right edge lies left of its left edge is flipped horizontally.
    """
    size = pixels_BCTHW.shape[-1]
    offset_P = (torch.arange(size_px, device=pixels_BCTHW.device) + 0.5) / size_px
    left, top, right, bottom = boxes_B4.to(pixels_BCTHW).unbind(1)
    x_BP = left[:, None] + offset_P * (right - left)[:, None]
    y_BP = top[:, None] + offset_P * (bottom - top)[:, None]
    grid = torch.stack(torch.broadcast_tensors(x_BP[:, None, :], y_BP[:, :, None]), -1) * (2 / size) - 1
    # All frames of a clip share the box, so they are sampled as channels of one image.
    flat = F.grid_sample(pixels_BCTHW.flatten(1, 2), grid, "bilinear", "border", align_corners=False)
    resized_BCTHW: Tensor = flat.unflatten(1, pixels_BCTHW.shape[1:3])
    return resized_BCTHW


def audio_input(waveform_BS: Tensor, samples_B: Tensor, gain_B: Tensor, geometry: Geometry) -> Tensor:
    """Convert stored audio to the model's, (B, 1, M, F): mean of the clip removed, gain applied, fbank, normalized."""
    return log_mel_batch(decode_waveform(waveform_BS, samples_B, gain_B), samples_B, geometry)


def decode_waveform(waveform_BS: Tensor, samples_B: Tensor, gain_B: Tensor) -> Tensor:
    """Convert stored int16 audio to floats without their mean, times the gain; 0 after each clip's end."""
    wave_BS = waveform_BS.float() / INT16_SCALE
    inside_BS = torch.arange(wave_BS.shape[1], device=wave_BS.device) < samples_B[:, None]
    mean_B1 = wave_BS.sum(1, keepdim=True) / samples_B[:, None]
    return (wave_BS - mean_B1) * gain_B.to(wave_BS)[:, None] * inside_BS


def log_mel_batch(wave_BS: Tensor, samples_B: Tensor, geometry: Geometry) -> Tensor:
    """Return `fbank.log_mel` of a batch of zero-mean float waves, (B, 1, M, F).

    samples_B holds how many samples of each row are audio; the rest of the row is padding.
    """
    frames_BLW = wave_BS.unfold(1, _WINDOW, _SHIFT)
    frames_BLW = frames_BLW - frames_BLW.mean(-1, keepdim=True)
    previous_BLW = F.pad(frames_BLW, (1, 0), mode="replicate")[..., :-1]
    window_W = torch.hann_window(_WINDOW, periodic=False, device=wave_BS.device, dtype=wave_BS.dtype)
    power_BLK = torch.fft.rfft((frames_BLW - _PREEMPHASIS * previous_BLW) * window_W, _FFT).abs().square()
    bank_KF = _mel_bank(geometry.mels).to(power_BLK)
    # kaldi's floor: the smallest fp32 step keeps the logarithm of silence finite.
    mel_BLF = (power_BLK @ bank_KF).clamp_min(torch.finfo(torch.float32).eps).log()
    # kaldi emits only windows that lie inside the audio; frames of the padding are zeroed to match.
    mel_frames_B = torch.div(samples_B - _WINDOW, _SHIFT, rounding_mode="floor") + 1
    inside_BL = torch.arange(mel_BLF.shape[1], device=wave_BS.device) < mel_frames_B[:, None]
    mel_BLF = mel_BLF * inside_BL[:, :, None]
    missing = max(0, geometry.mel_frames - mel_BLF.shape[1])
    padded_BMF = F.pad(mel_BLF, (0, 0, 0, missing))[:, : geometry.mel_frames]
    return ((padded_BMF - MEAN) / TWO_STD)[:, None]


@lru_cache(maxsize=4)
def _mel_bank(mels: int) -> Tensor:
    """Return kaldi's mel filters over the power spectrum, (K, F)."""
    from torchaudio.compliance.kaldi import get_mel_banks  # imported here: torchaudio takes seconds to import

    bank, _ = get_mel_banks(
        num_bins=mels,
        window_length_padded=_FFT,
        sample_freq=float(SAMPLE_RATE_HZ),
        low_freq=_LOW_HZ,
        high_freq=0.0,  # kaldi's sign for half the sample rate
        vtln_low=100.0,
        vtln_high=-500.0,
        vtln_warp_factor=1.0,  # no warping of the vocal tract length
    )
    return F.pad(bank, (0, 1)).T.contiguous()
