"""Sound as the models take it: 256 frames of 128 log-mel energies (HiCMAE 4.1; kaldi's fbank through torchaudio).

Shapes: S samples, M mel frames, F mels.
"""

import torch
from torch import Tensor

from avf_training.models.config import Geometry

SAMPLE_RATE_HZ = 16_000
WINDOW_MS, SHIFT_MS = 25, 10
# Mean and twice the deviation that the authors normalise by: those of AudioSet, as in AST.
MEAN, TWO_STD = -4.2677393, 2 * 4.5689974


def log_mel(samples_S: Tensor, sample_rate_hz: int, geometry: Geometry | None = None) -> Tensor:
    """Normalised log-mel energies of one clip, (1, M, F) float32.

    samples_S: mono sound, float in [-1, 1] or int16. Its mean is removed; 2.56 s fill 254 frames, the rest up to 256
    is zero before normalisation, and what is longer is cut. Raises ValueError for another rate, shape or type.
    """
    geometry = geometry or Geometry()
    if sample_rate_hz != SAMPLE_RATE_HZ:
        raise ValueError(f"sample_rate_hz {sample_rate_hz} does not fit; the models hear {SAMPLE_RATE_HZ}")
    if samples_S.ndim != 1:
        raise ValueError(f"sound: shape {tuple(samples_S.shape)} does not fit; it must be (samples,), one channel")
    shortest = SAMPLE_RATE_HZ * WINDOW_MS // 1000
    if len(samples_S) < shortest:
        raise ValueError(f"sound: {len(samples_S)} samples are too few; one window takes {shortest}")
    if samples_S.dtype == torch.int16:
        wave_S = samples_S.float() / 32768
    elif samples_S.dtype in (torch.float32, torch.float64):
        wave_S = samples_S.float()
    else:
        raise ValueError(f"sound: dtype {samples_S.dtype} does not fit; it must be int16, float32 or float64")
    from torchaudio.compliance.kaldi import fbank  # slow to import

    mel_MF = fbank(
        (wave_S - wave_S.mean())[None],
        htk_compat=True,
        sample_frequency=SAMPLE_RATE_HZ,
        use_energy=False,
        window_type="hanning",
        num_mel_bins=geometry.mels,
        dither=0.0,
        frame_length=WINDOW_MS,
        frame_shift=SHIFT_MS,
    )
    missing = max(0, geometry.mel_frames - len(mel_MF))
    filled = torch.nn.functional.pad(mel_MF, (0, 0, 0, missing))[: geometry.mel_frames]
    return ((filled - MEAN) / TWO_STD)[None]
