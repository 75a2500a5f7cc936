"""Log-mel spectrograms as VGGish was trained on: 25 ms each 10 ms, 64 bands of 125 to 7500 Hz, without padding.

They are not those of the audio-visual models: magnitudes, not powers, are summed into bands, in double precision.
"""

import numpy as np
import numpy.typing as npt

from avf_training.framewise.models.vggish import BANDS, EXAMPLE_FRAMES

Wave = npt.NDArray[np.float64]
FRAME_SAMPLES, HOP_SAMPLES, TRANSFORM_SAMPLES = 400, 160, 512
RATE_HZ, LOWEST_HZ, HIGHEST_HZ = 16_000, 125.0, 7500.0
LOG_OFFSET = 0.01
EXAMPLE_S = 0.96


def hann_window() -> Wave:
    """Return the periodic Hann window of a frame."""
    return np.asarray(0.5 - 0.5 * np.cos(2 * np.pi / FRAME_SAMPLES * np.arange(FRAME_SAMPLES)))


def magnitudes(wave_N: Wave) -> Wave:
    """Return magnitudes of the Fourier transform of every whole frame, (frames, 257)."""
    if len(wave_N) < FRAME_SAMPLES:
        return np.zeros((0, TRANSFORM_SAMPLES // 2 + 1))
    frames = np.lib.stride_tricks.sliding_window_view(wave_N, FRAME_SAMPLES)[::HOP_SAMPLES]
    return np.abs(np.fft.rfft(frames * hann_window(), TRANSFORM_SAMPLES))


def mel_matrix() -> Wave:
    """Return the weight of each of 257 bins in each of 64 bands: triangles on the mel scale; the first bin has none."""
    bins_mel = _mel(np.linspace(0.0, RATE_HZ / 2, TRANSFORM_SAMPLES // 2 + 1))[:, None]
    edges_mel = np.linspace(_mel(np.float64(LOWEST_HZ)), _mel(np.float64(HIGHEST_HZ)), BANDS + 2)
    low, centre, high = edges_mel[:-2], edges_mel[1:-1], edges_mel[2:]
    weights = np.maximum(0.0, np.minimum((bins_mel - low) / (centre - low), (high - bins_mel) / (high - centre)))
    weights[0] = 0.0
    return np.asarray(weights)


def log_mel_frames(wave_N: Wave) -> Wave:
    """Return (frames, 64) of a mono wave at 16 kHz in -1..1, a row of 25 ms each 10 ms; none below 400 samples."""
    return np.log(magnitudes(wave_N) @ mel_matrix() + LOG_OFFSET)


def log_mel_examples(wave_N: Wave) -> Wave:
    """Return (examples, 96, 64) of a mono wave at 16 kHz in -1..1, one each 0.96 s; none below 15,600 samples."""
    frames = log_mel_frames(wave_N)
    count = len(frames) // EXAMPLE_FRAMES
    return np.asarray(frames[: count * EXAMPLE_FRAMES].reshape(count, EXAMPLE_FRAMES, BANDS))


def _mel(hz: Wave | np.float64) -> Wave:
    return np.asarray(1127.0 * np.log1p(hz / 700.0))
