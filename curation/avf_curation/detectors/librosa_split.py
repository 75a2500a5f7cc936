"""Split sound at silence as librosa does, with an absolute floor, in frames of the 25 fps timeline.

The arithmetic is that of `librosa.effects.split`, to the bit, and a test compares the two. librosa itself is not
imported: with numba and scikit-learn it takes some seconds of each worker's start.
"""

import numpy as np
import numpy.typing as npt
from avf_shards.timeline import SAMPLE_RATE_HZ, SAMPLES_PER_FRAME, Span
from numpy.lib.stride_tricks import sliding_window_view

from avf_curation.media.types import FULL_SCALE, Samples
from avf_curation.stages.silence import SilenceConfig, lasting_level_dbfs

_WINDOW = 2048  # samples: librosa's default, 128 ms
_HOP = 160  # samples: 10 ms, four to a frame
_PART = 4096  # windows whose level is calculated at a time
_LEAST_POWER = 1e-10  # librosa's: powers below it count as this one


def split_silence(samples: Samples, config: SilenceConfig) -> list[Span]:
    """Return the spans of `samples` that are not silent, in frames; spans that touch are merged.

    Pauses shorter than `config.min_pause_s` stay inside a span. They are measured in windows: counted in frames, one
    pause would be a frame longer or shorter by where it begins, and so by the delay of a codec.
    """
    sound = samples.astype(np.float32) / np.float32(FULL_SCALE)
    floor = 10 ** (config.floor_dbfs / 20)
    if not len(sound):
        return []
    level_W = _window_levels(sound)
    loudest = float(np.sqrt(np.max(level_W**2)))
    if loudest < floor:
        return []
    reference = _reference_level(level_W, 10 ** (lasting_level_dbfs(samples) / 20), 10 ** (config.crest_db / 20))
    above_reference = 20 * np.log10(loudest / reference)
    # librosa knows one limit, relative to the loudest window: `top_db` below the reference, or the floor where that is
    # higher.
    top_db = min(config.top_db + above_reference, 20 * np.log10(loudest / floor))
    frames = len(samples) // SAMPLES_PER_FRAME
    spans: list[Span] = []
    sound_W = _find_sound(level_W, max(top_db, 1e-3))
    for start, stop in _close_pauses(sound_W, round(config.min_pause_s * SAMPLE_RATE_HZ / _HOP)):
        first, last = start * _HOP // SAMPLES_PER_FRAME, min(frames, -(-stop * _HOP // SAMPLES_PER_FRAME))
        if spans and first <= spans[-1].stop_frame:
            first = spans.pop().start_frame
        if last > first:
            spans.append(Span(first, last))
    return spans


def _window_levels(sound: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the root mean square of each window, centred on each hop: `librosa.feature.rms`."""
    windows = sliding_window_view(np.pad(sound, _WINDOW // 2), _WINDOW)[::_HOP]
    # In parts: the squares of all windows of an hour are three gigabytes.
    parts = (windows[first : first + _PART] for first in range(0, len(windows), _PART))
    return np.concatenate([np.sqrt(np.mean(np.square(part), axis=1)) for part in parts])


def _reference_level(level_W: npt.NDArray[np.float32], lasting: float, crest: float) -> float:
    """Return the level of the loudest window, or where it is `crest` times above the level that lasts, of another one.

    That is the loudest window that touches no sound so loud, such as a click: at least the level that lasts.
    """
    is_burst_W = level_W > lasting * crest
    if not is_burst_W.any():
        return float(np.sqrt(np.max(level_W**2)))  # as the caller calculates the loudest: their ratio is 1
    # A window at the edge of a click has a part of its power; two that hold one sound are at most a window apart.
    reach = -(-_WINDOW // _HOP)
    touches_W = np.convolve(is_burst_W, np.ones(2 * reach + 1), mode="same") > 0.5
    return max(lasting, float(np.max(level_W[~touches_W], initial=0.0)))


def _find_sound(level_W: npt.NDArray[np.float32], top_db: float) -> list[tuple[int, int]]:
    """Return the ranges of windows that are louder than `top_db` below the loudest: `librosa.effects.split`."""
    power_W, loudest = np.square(level_W), np.max(level_W) ** 2
    db_W = 10.0 * np.log10(np.maximum(_LEAST_POWER, power_W)) - 10.0 * np.log10(np.maximum(_LEAST_POWER, loudest))
    edges = np.flatnonzero(np.diff(np.concatenate(([False], db_W > -top_db, [False])).astype(np.int8)))
    return [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]


def _close_pauses(ranges: list[tuple[int, int]], min_pause: int) -> list[tuple[int, int]]:
    """Merge neighbouring ranges of windows whose pause is shorter than `min_pause` windows."""
    closed: list[tuple[int, int]] = []
    for start, stop in ranges:
        if closed and start - closed[-1][1] < min_pause:
            start = closed.pop()[0]
        closed.append((start, stop))
    return closed
