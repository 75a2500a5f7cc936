"""Synthesised speech-like audio (pitch, formants, syllables, pauses) with the matching movement of the mouth."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from avf_shards.timeline import SAMPLE_RATE_HZ, SAMPLES_PER_FRAME
from scipy.signal import lfilter

Floats = npt.NDArray[np.float64]
# First three formants in Hz and how far the mouth opens, for a, e, i, o, u.
VOWELS = (
    ((800, 1200, 2500), 1.0),
    ((500, 1800, 2500), 0.7),
    ((300, 2300, 3000), 0.35),
    ((450, 850, 2400), 0.75),
    ((320, 800, 2200), 0.3),
)
NOISE_RMS = 0.0006  # of full scale, -64 dBFS: noise of the recording


@dataclass(frozen=True, kw_only=True)
class Utterance:
    """Audio of one speaker, and the matching movement of the mouth."""

    samples: Floats  # 16 kHz, from -1 to 1
    mouth_T: Floats  # opening of the mouth per frame at 25 fps, from 0 to 1


def speak(
    frames: int, pitch_hz: float, seed: int, pauses: tuple[tuple[int, int], ...] = (), voice: float = 0.0
) -> Utterance:
    """Return an utterance of `frames` frames, silent during `pauses` (ranges of frames).

    Args:
        voice: emotion of the voice: 1 is bright with a changing pitch, -1 is dull with a falling pitch. The mouth does
            not depend on the voice.
    """
    draw = np.random.default_rng([seed, 11])
    total = frames * SAMPLES_PER_FRAME
    sound, opening = np.zeros(total), np.zeros(total)
    start_sample = int(0.04 * SAMPLE_RATE_HZ)
    while start_sample < total:
        length = int(draw.uniform(0.1, 0.3) * SAMPLE_RATE_HZ)
        stop = min(total, start_sample + length)
        formants, wide = VOWELS[draw.integers(len(VOWELS))]
        loud = draw.uniform(0.45, 1.0)
        shape = np.sin(np.pi * np.linspace(0, 1, stop - start_sample)) ** 0.7
        sound[start_sample:stop] += (
            loud
            * shape
            * make_vowel(
                stop - start_sample,
                pitch_hz * draw.uniform(0.9, 1.15) * _make_melody(voice, stop - start_sample, start_sample),
                formants,
                draw,
            )
        )
        opening[start_sample:stop] = np.maximum(opening[start_sample:stop], wide * loud * shape)
        gap = draw.uniform(0.02, 0.1) if draw.uniform() < 0.8 else draw.uniform(0.15, 0.3)
        start_sample = stop + int(gap * SAMPLE_RATE_HZ)
    quiet = np.ones(total)
    for start, stop in pauses:
        quiet[start * SAMPLES_PER_FRAME : stop * SAMPLES_PER_FRAME] = 0
    sound, opening = _apply_timbre(sound, voice) * quiet, opening * quiet
    sound = 0.3 * sound / max(1e-9, np.abs(sound).max()) + draw.normal(0, NOISE_RMS, total)
    mouth_T = opening.reshape(frames, -1).mean(1)
    return Utterance(samples=sound, mouth_T=np.clip(np.convolve(mouth_T, [0.2, 0.6, 0.2], mode="same"), 0, 1))


def _make_melody(voice: float, samples: int, start_sample: int) -> Floats:
    """Return a factor on the pitch: a lively voice swings by a third three times a second, a flat voice glides down."""
    time_s = (start_sample + np.arange(samples)) / SAMPLE_RATE_HZ
    swing = 0.33 * max(0.0, voice) * np.sin(2 * np.pi * 3 * time_s)
    glide = 0.35 * max(0.0, -voice) * np.arange(samples) / max(1, samples)
    return np.asarray(1 + swing - glide)


def _apply_timbre(sound: Floats, voice: float) -> Floats:
    """Tilt the spectrum: a lively voice is bright, a flat voice dull."""
    if not voice:
        return sound
    tilt = 0.8 * abs(voice)
    return np.asarray(lfilter([1, -tilt], [1], sound) if voice > 0 else lfilter([1 - tilt], [1, -tilt], sound))


def make_vowel(samples: int, pitch_hz: Floats, formants: tuple[int, int, int], draw: np.random.Generator) -> Floats:
    """Return a vowel with a peak of 1, of the pitch (S,) that changes from sample to sample."""
    phase = np.cumsum(pitch_hz / SAMPLE_RATE_HZ * (1 + 0.01 * draw.normal(0, 1, samples)))
    source = np.diff(np.floor(phase), prepend=0) + 0.02 * draw.normal(0, 1, samples)
    for hz in formants:
        radius = np.exp(-np.pi * 90 / SAMPLE_RATE_HZ)
        source = lfilter([1 - radius], [1, -2 * radius * np.cos(2 * np.pi * hz / SAMPLE_RATE_HZ), radius**2], source)
    return np.asarray(source / max(1e-9, np.abs(source).max()))
