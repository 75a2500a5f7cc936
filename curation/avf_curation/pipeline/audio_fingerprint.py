"""Audio fingerprints, which recognise the same recording in another corpus, even if it was cut differently.

Haitsma and Kalker, "A Highly Robust Audio Fingerprinting System" (ISMIR 2002): a 32-bit word per time step, whose bits
are the signs of energy differences between neighbouring bands and steps. Here a step is a frame of the 25 fps timeline.
"""

import numpy as np
from avf_shards.packing.near_duplicates import Fingerprint
from avf_shards.timeline import SAMPLE_RATE_HZ, SAMPLES_PER_FRAME

from avf_curation.media.types import Samples

_WINDOW_SAMPLES = 6400  # 0.4 s; the paper has 0.37 s
_FFT_SAMPLES = 8192  # the next power of two: the window is zero-padded
_BANDS = 33  # 32 differences between neighbours
_LOW_HZ, _HIGH_HZ = 300.0, 2000.0  # the paper's range


def compute_fingerprint(samples: Samples) -> Fingerprint:
    """Return (frames,) 32-bit words, little endian, one per 640 samples. Beyond the end the samples count as zero."""
    frames = len(samples) // SAMPLES_PER_FRAME
    if not frames:
        return np.zeros(0, "<u4")
    # One step more than frames, before the first: each bit compares a step with the step before.
    padded = np.concatenate([np.zeros(SAMPLES_PER_FRAME), samples.astype(np.float64), np.zeros(_WINDOW_SAMPLES)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW_SAMPLES)[::SAMPLES_PER_FRAME][: frames + 1]
    power = np.abs(np.fft.rfft(windows * np.hanning(_WINDOW_SAMPLES), _FFT_SAMPLES)) ** 2
    edges = np.geomspace(_LOW_HZ, _HIGH_HZ, _BANDS + 1) * _FFT_SAMPLES / SAMPLE_RATE_HZ
    # reduceat's last group runs to the end of the spectrum; it is cut off.
    energy_TB = np.add.reduceat(power, edges.astype(int), axis=1)[:, :_BANDS]
    slope_TB = energy_TB[:, :-1] - energy_TB[:, 1:]
    bits_TB = slope_TB[1:] - slope_TB[:-1] > 0
    words_T: Fingerprint = (bits_TB @ (1 << np.arange(_BANDS - 1, dtype=np.uint64))).astype("<u4")
    return words_T
