"""A synthesised voice whose pitch, loudness and brightness follow arousal from frame to frame."""

import numpy as np
from avf_shards.timeline import SAMPLE_RATE_HZ, SAMPLES_PER_FRAME
from scipy.signal import lfilter

from avf_curation.demo.speech import NOISE_RMS, VOWELS, Floats, Utterance, make_vowel

_PITCH_OCTAVES = 0.5  # by which arousal 1 raises and -1 lowers the pitch
_LOUDNESS_DB = 8.0  # by which arousal 1 raises and -1 lowers the level
_PEAK = 0.2  # of a vowel at arousal 0, of full scale
_PERSON_DB = 2.0  # persons differ by up to so much in level
_TILT = 0.5  # coefficient of the filter that makes an excited voice bright


def speak_with_arousal(arousal_T: Floats, pitch_hz: float, seed: int, person: int) -> Utterance:
    """Return speech over the frames of `arousal_T`; how far and how often the mouth opens does not depend on it."""
    draw = np.random.default_rng([seed, 31])
    frames = len(arousal_T)
    total = frames * SAMPLES_PER_FRAME
    arousal_S = np.interp(np.arange(total) / SAMPLES_PER_FRAME, np.arange(frames) + 0.5, arousal_T)
    calm, bright, opening = np.zeros(total), np.zeros(total), np.zeros(total)
    start = int(0.04 * SAMPLE_RATE_HZ)
    while start < total:
        stop = min(total, start + int(draw.uniform(0.1, 0.3) * SAMPLE_RATE_HZ))
        formants, wide = VOWELS[draw.integers(len(VOWELS))]
        loud = draw.uniform(0.6, 1.0)
        shape = np.sin(np.pi * np.linspace(0, 1, stop - start)) ** 0.7
        pitch = pitch_hz * draw.uniform(0.93, 1.1) * 2 ** (_PITCH_OCTAVES * arousal_S[start:stop])
        vowel = loud * shape * make_vowel(stop - start, pitch, formants, draw)
        calm[start:stop] += vowel
        bright[start:stop] += lfilter([1, -_TILT], [1], vowel)
        opening[start:stop] = np.maximum(opening[start:stop], wide * loud * shape)
        gap = draw.uniform(0.02, 0.1) if draw.uniform() < 0.8 else draw.uniform(0.15, 0.3)
        start = stop + int(gap * SAMPLE_RATE_HZ)
    share = (arousal_S + 1) / 2
    level_db = _LOUDNESS_DB * arousal_S + np.random.default_rng([person, 33]).uniform(-_PERSON_DB, _PERSON_DB)
    sound = _PEAK * 10 ** (level_db / 20) * ((1 - share) * calm + share * bright)
    mouth_T = opening.reshape(frames, -1).mean(1)
    smooth_T = np.clip(np.convolve(mouth_T, [0.2, 0.6, 0.2], mode="same"), 0, 1)
    return Utterance(samples=sound + draw.normal(0, NOISE_RMS, total), mouth_T=smooth_T)
