"""The 13 MFCCs that SyncNet was trained on: 25 ms rectangular windows every 10 ms, 26 mel filters.

The first coefficient is replaced by the log energy, as python_speech_features does.
"""

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from avf_shards.timeline import SAMPLE_RATE_HZ
from scipy.fft import dct

WINDOW, HOP, FFT = 400, 160, 512  # samples at 16 kHz: 25 ms, 10 ms, 32 ms
FILTERS, COEFFICIENTS = 26, 13
LIFTER = 22  # of the sine that weighs the coefficients
PREEMPHASIS = 0.97
Floats = npt.NDArray[np.float64]


@lru_cache(maxsize=1)
def mel_filters() -> Floats:
    """Return triangular filters over FFT bins, (26, 257).

    Their corners are equally spaced from 0 to 8 kHz on the mel scale 2595 log10(1 + f / 700).
    """
    top_mel = 2595 * math.log10(1 + SAMPLE_RATE_HZ / 2 / 700)
    hz = 700 * (10 ** (np.linspace(0, top_mel, FILTERS + 2) / 2595) - 1)
    bins = np.floor((FFT + 1) * hz / SAMPLE_RATE_HZ)
    grid = np.arange(FFT // 2 + 1)[None, :]
    low, middle, high = bins[:-2, None], bins[1:-1, None], bins[2:, None]
    rising = (grid - low) / np.maximum(middle - low, 1)
    falling = (high - grid) / np.maximum(high - middle, 1)
    inside = (grid >= low) & (grid < high)
    return np.where(inside, np.where(grid < middle, rising, falling), 0.0)


def compute_mfcc(samples: npt.NDArray[np.int16]) -> Floats:
    """Return the MFCCs of int16 samples, (windows, 13) at 100 Hz; the last window is padded with zeros."""
    signal = samples.astype(np.float64)
    signal = np.append(signal[:1], signal[1:] - PREEMPHASIS * signal[:-1])
    count = 1 + max(0, math.ceil((len(signal) - WINDOW) / HOP))
    signal = np.append(signal, np.zeros((count - 1) * HOP + WINDOW - len(signal)))
    windows = np.lib.stride_tricks.sliding_window_view(signal, WINDOW)[::HOP]
    power = np.abs(np.fft.rfft(windows, FFT)) ** 2 / FFT
    floor = np.finfo(float).eps  # digital silence would give log(0)
    energy = np.maximum(power.sum(1), floor)
    mel = np.log(np.maximum(power @ mel_filters().T, floor))
    cepstra: Floats = dct(mel, type=2, axis=1, norm="ortho")[:, :COEFFICIENTS]
    cepstra *= 1 + LIFTER / 2 * np.sin(np.pi * np.arange(COEFFICIENTS) / LIFTER)
    cepstra[:, 0] = np.log(energy)
    return cepstra
