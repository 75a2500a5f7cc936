"""Backgrounds of the demo's shots: eight colours of wall, each with the hum of another ventilation."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from avf_shards.timeline import SAMPLE_RATE_HZ
from scipy.signal import lfilter

Floats = npt.NDArray[np.float64]
HUM_RMS = 0.003  # of full scale, -50 dBFS: far below speech, and still visible in a spectrogram
_HUM_BANDWIDTH_HZ = 400


@dataclass(frozen=True, kw_only=True)
class Background:
    """A wall, and the sound of the ventilation."""

    wall: int  # hue of the colour in degrees
    hum_hz: int  # frequency at which the ventilation is loudest


BACKGROUNDS = tuple(
    Background(wall=45 * number, hum_hz=hum_hz)
    for number, hum_hz in enumerate((3600, 700, 5000, 1100, 6800, 1700, 2500, 4200))
)


def make_background(seed: int) -> Background:
    """Return the background of a shot with this seed."""
    return BACKGROUNDS[seed % len(BACKGROUNDS)]


def draw_background(seed: int, width: int, height: int) -> npt.NDArray[np.uint8]:
    """Return the wall behind the speakers, textured and unevenly lit: (height, width, 3) BGR."""
    draw = np.random.default_rng([seed, 5])
    hsv = np.array([[[make_background(seed).wall // 2, draw.integers(110, 170), draw.integers(110, 180)]]], np.uint8)
    wall = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)[0, 0].astype(float)
    coarse = np.clip(wall + draw.normal(0, 8, (5, 7, 3)) + draw.normal(0, 22, (5, 7, 1)), 0, 255).astype(np.uint8)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.int16)
    grain = cv2.GaussianBlur(draw.normal(0, 60, (height, width, 1)).astype(np.float32), (0, 0), 2.5)[..., None]
    backdrop_HW3: npt.NDArray[np.uint8] = np.clip(smooth + grain, 0, 255).astype(np.uint8)
    return backdrop_HW3


def make_hum(seed: int, samples: int) -> Floats:
    """Return the hum of a shot with this seed: noise around the background's frequency."""
    draw = np.random.default_rng([seed, 13])
    radius = np.exp(-np.pi * _HUM_BANDWIDTH_HZ / SAMPLE_RATE_HZ)
    turn = 2 * np.pi * make_background(seed).hum_hz / SAMPLE_RATE_HZ
    noise = lfilter([1 - radius], [1, -2 * radius * np.cos(turn), radius**2], draw.normal(0, 1, samples))
    return np.asarray(HUM_RMS * noise / noise.std())
