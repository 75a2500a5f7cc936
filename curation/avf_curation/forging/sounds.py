"""Forgeries of the sound: another voice, late, a word replaced, another pitch; as many samples as before."""

import numpy as np
from avf_shards.timeline import SAMPLE_RATE_HZ, SAMPLES_PER_FRAME
from scipy.signal import istft, resample, stft

from avf_curation.forging.takes import Floats

_FADE_SAMPLES = SAMPLE_RATE_HZ // 100  # 10 ms
_WINDOW, _HOP = 1024, 256  # samples of the short-time Fourier transform


def dub(samples_S: Floats, donor_S: Floats, draw: np.random.Generator) -> Floats:
    """Return another person's sound, from a drawn time on and repeated where it is too short, as loud as the first."""
    start = int(draw.integers(max(1, len(donor_S) - len(samples_S) + 1)))
    other_S = np.resize(donor_S[start:], len(samples_S))
    return match_level(other_S, samples_S)


def delay(samples_S: Floats, frames: int) -> Floats:
    """Return the sound so many frames later, or earlier where the number is negative; the ends come round."""
    return np.roll(samples_S, frames * SAMPLES_PER_FRAME)


def replace_word(samples_S: Floats, frames: tuple[int, int], margin: int, draw: np.random.Generator) -> Floats:
    """Return the sound with other speech of the same voice in the frames [start, stop), faded over at both ends.

    The other speech is as long, from outside the stretch, and the loudest of eight drawn ones.

    Args:
        frames: start and stop of the stretch.
        margin: frames at both ends of the sound that nothing is taken from.
    """
    start, stop = frames
    length, total = stop - start, len(samples_S) // SAMPLES_PER_FRAME
    firsts = [t for t in range(margin, total - margin - length + 1) if t + length <= start or t >= stop]
    if not firsts:
        raise ValueError(f"no {length} frames of other speech in {total} frames")
    chosen = [int(t) for t in draw.choice(firsts, min(8, len(firsts)), replace=False)]
    parts = [samples_S[t * SAMPLES_PER_FRAME : (t + length) * SAMPLES_PER_FRAME] for t in chosen]
    other_S = max(parts, key=lambda part_S: float(np.square(part_S).sum()))
    out_S = samples_S.copy()
    stretch = slice(start * SAMPLES_PER_FRAME, stop * SAMPLES_PER_FRAME)
    weight_S = np.minimum(1, np.minimum(np.arange(len(other_S)), np.arange(len(other_S))[::-1]) / _FADE_SAMPLES)
    out_S[stretch] = weight_S * match_level(other_S, samples_S[stretch]) + (1 - weight_S) * samples_S[stretch]
    return out_S


def shift_pitch(samples_S: Floats, semitones: float) -> Floats:
    """Return the sound with its pitch moved, as long as before, by a phase vocoder."""
    factor = 2 ** (semitones / 12)
    stretched_S = _stretch(samples_S, factor)
    return match_level(np.asarray(resample(stretched_S, len(samples_S)), float), samples_S)


def _stretch(samples_S: Floats, factor: float) -> Floats:
    """Return the sound `factor` times as long, with its pitch kept: frames are read at other times, phases go on."""
    _, _, bins_FT = stft(samples_S, nperseg=_WINDOW, noverlap=_WINDOW - _HOP)
    times_U = np.arange(0, bins_FT.shape[1] - 1, 1 / factor)
    before_U = times_U.astype(int)
    share_U = times_U - before_U
    level_FU = (1 - share_U) * np.abs(bins_FT[:, before_U]) + share_U * np.abs(bins_FT[:, before_U + 1])
    advance_F1 = 2 * np.pi * _HOP * np.arange(len(bins_FT))[:, None] / _WINDOW
    step_FU = np.angle(bins_FT[:, before_U + 1]) - np.angle(bins_FT[:, before_U]) - advance_F1
    step_FU = advance_F1 + step_FU - 2 * np.pi * np.round(step_FU / (2 * np.pi))
    phase_FU = np.angle(bins_FT[:, :1]) + np.concatenate([np.zeros_like(advance_F1), step_FU[:, :-1]], 1).cumsum(1)
    return np.asarray(istft(level_FU * np.exp(1j * phase_FU), nperseg=_WINDOW, noverlap=_WINDOW - _HOP)[1], float)


def match_level(samples_S: Floats, like_S: Floats) -> Floats:
    """Return the samples with the root mean square of others, below full scale."""
    rms, other = (float(np.sqrt(np.square(part_S).mean())) for part_S in (samples_S, like_S))
    scaled_S = samples_S * (other / rms if rms > 0 else 1.0)
    return scaled_S / max(1.0, float(np.abs(scaled_S).max()))
