"""Variations of the windows that the learned sync network is trained on, each beside those of the shipped training.

Shapes: T frames of a clip, D = 11 distances, W frames of a window, N = 4 T steps of sound, F = 40 mel levels.
"""

from collections.abc import Callable

import numpy as np
from avf_curation.detectors import sync_training
from avf_curation.detectors.sync_head import STEPS_PER_FRAME, Floats
from avf_curation.detectors.sync_training import WINDOW

from benchmarks.sync_towers import stretch

Window = tuple[Floats, Floats, Floats]
"""Mouth (W, D), sound, and which of its frames the clip has, as the shipped training draws them."""
DrawWindow = Callable[[Floats, Floats, np.random.Generator], Window]
draw_shipped: DrawWindow = sync_training._draw_window
NATS_PER_DB = np.log(10) / 10


def draw_tempo(mouth_TD: Floats, levels_NF: Floats, draw: np.random.Generator) -> Window:
    """Return a window of mouth and sound that are 15 % slower to 18 % faster together."""
    mouth_TD = stretch(mouth_TD, max(WINDOW, round(len(mouth_TD) / draw.uniform(0.85, 1.18))))
    return draw_shipped(mouth_TD, stretch(levels_NF, STEPS_PER_FRAME * len(mouth_TD)), draw)


def draw_noise(mouth_TD: Floats, levels_NF: Floats, draw: np.random.Generator) -> Window:
    """Return a window of which six of ten are in noise of any colour, 5 to 20 dB below the speech."""
    if draw.random() < 0.6:
        colour_F = 0.4 * np.cumsum(draw.normal(0, 1, levels_NF.shape[1]))
        noise_NF = draw.normal(0, 0.6, levels_NF.shape) + colour_F
        below = np.log(np.exp(levels_NF).mean() / np.exp(noise_NF).mean()) - draw.uniform(5, 20) * NATS_PER_DB
        levels_NF = np.logaddexp(levels_NF, noise_NF + below).astype(np.float32)
    return draw_shipped(mouth_TD, levels_NF, draw)


def draw_frames(mouth_TD: Floats, levels_NF: Floats, draw: np.random.Generator) -> Window:
    """Return a window of whose mouths four of ten come up to a frame early or late, and four of ten lack frames."""
    mouth_WD, sound_NF, heard = draw_shipped(mouth_TD, levels_NF, draw)
    frames_W, chance = np.arange(len(mouth_WD)), draw.random()
    if chance < 0.4:
        seen_W = np.clip(frames_W + draw.normal(0, 0.4, len(mouth_WD)), 0, len(mouth_WD) - 1)
        columns = [np.interp(seen_W, frames_W, column_W) for column_W in mouth_WD.T]
        mouth_WD = np.stack(columns, axis=1).astype(np.float32)
    elif chance < 0.8:  # a frame that is lost repeats the one before
        is_there = draw.random(len(mouth_WD)) > draw.uniform(0.05, 0.3)
        is_there[0] = True
        mouth_WD = mouth_WD[np.maximum.accumulate(np.where(is_there, frames_W, 0))]
    return mouth_WD, sound_NF, heard


def draw_loudness(mouth_TD: Floats, levels_NF: Floats, draw: np.random.Generator) -> Window:
    """Return a window whose sound is up to 9 dB softer or 4 dB louder, and swells and fades by 2 dB."""
    steps_N = np.linspace(0, np.pi * draw.uniform(0.5, 2), len(levels_NF)) + draw.uniform(0, 2 * np.pi)
    gain_N = draw.uniform(-2, 1) + draw.normal(0, 0.4) * np.sin(steps_N)
    return draw_shipped(mouth_TD, (levels_NF + gain_N[:, None]).astype(np.float32), draw)


def draw_pitch(mouth_TD: Floats, levels_NF: Floats, draw: np.random.Generator) -> Window:
    """Return a window whose mel bands are spread or pressed together by up to 10 %."""
    bands_F = np.arange(levels_NF.shape[1])
    read_F = np.clip(bands_F * draw.uniform(0.9, 1.1), 0, bands_F[-1])
    low_F = np.minimum(read_F.astype(int), bands_F[-2])
    share_F = (read_F - low_F).astype(np.float32)
    levels_NF = levels_NF[:, low_F] * (1 - share_F) + levels_NF[:, low_F + 1] * share_F
    return draw_shipped(mouth_TD, levels_NF, draw)


VARIATIONS: dict[str, DrawWindow] = {
    "tempo": draw_tempo,
    "noise": draw_noise,
    "frames early, late or lost": draw_frames,
    "loudness": draw_loudness,
    "pitch": draw_pitch,
}


def draw_any(mouth_TD: Floats, levels_NF: Floats, draw: np.random.Generator) -> Window:
    """Return a window with one of the variations."""
    draws = list(VARIATIONS.values())
    return draws[int(draw.integers(len(draws)))](mouth_TD, levels_NF, draw)
