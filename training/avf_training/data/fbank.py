"""Audio as the models take it: 256 frames of 128 log-mel energies (HiCMAE 4.1; kaldi's fbank through torchaudio).

Shapes: S samples, M mel frames, F mel bands.
"""

import torch
from avf_shards.timeline import SAMPLE_RATE_HZ
from torch import Tensor

from avf_training.models.config import Geometry

WINDOW_MS, SHIFT_MS = 25, 10
# Mean and twice the standard deviation of AudioSet's log-mel energies: the authors normalize by them, as AST does.
MEAN, TWO_STD = -4.2677393, 2 * 4.5689974
INT16_SCALE = 32768  # full scale of int16 samples becomes 1.0


def log_mel(samples_S: Tensor, sample_rate_hz: int, geometry: Geometry | None = None) -> Tensor:
    """Return the normalized log-mel energies of one clip, (1, M, F) float32.

    samples_S holds mono audio, as floats in [-1, 1] or as int16. Its mean is removed. A window of 2.56 s fills 254 mel
    frames; the remaining two are zero before normalization. Longer audio is cut.

    Raises:
        ValueError: sample rate, shape or type do not fit, or the audio is shorter than one window of 25 ms.
    """
    geometry = geometry or Geometry()
    if sample_rate_hz != SAMPLE_RATE_HZ:
        raise ValueError(f"sample_rate_hz {sample_rate_hz} does not fit; the models take {SAMPLE_RATE_HZ}")
    if samples_S.ndim != 1:
        raise ValueError(f"audio: shape {tuple(samples_S.shape)} does not fit; it must be (samples,), one channel")
    shortest = SAMPLE_RATE_HZ * WINDOW_MS // 1000
    if len(samples_S) < shortest:
        raise ValueError(f"audio: {len(samples_S)} samples are too few; one window takes {shortest}")
    if samples_S.dtype == torch.int16:
        wave_S = samples_S.float() / INT16_SCALE
    elif samples_S.dtype in (torch.float32, torch.float64):
        wave_S = samples_S.float()
    else:
        raise ValueError(f"audio: dtype {samples_S.dtype} does not fit; it must be int16, float32 or float64")
    from torchaudio.compliance.kaldi import fbank  # imported here: torchaudio takes seconds to import

    # Dither stays off: it adds random noise, and the input of a position must be the same in every run.
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
    padded_MF = torch.nn.functional.pad(mel_MF, (0, 0, 0, missing))[: geometry.mel_frames]
    return ((padded_MF - MEAN) / TWO_STD)[None]
