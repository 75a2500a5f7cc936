"""Split sound at silence with librosa, with an absolute floor, in frames of the 25 fps timeline."""

import numpy as np
from avf_shards.timeline import SAMPLES_PER_FRAME, Span

from avf_curation.media.types import FULL_SCALE, Samples
from avf_curation.stages.silence import SilenceConfig, lasting_level_dbfs

_WINDOW = 2048  # samples: librosa's default, 128 ms
_HOP = 160  # samples: 10 ms, four to a frame


def split_silence(samples: Samples, config: SilenceConfig) -> list[Span]:
    """Return the spans of `samples` that are not silent, in frames; spans that touch are merged."""
    import librosa.effects as effects
    import librosa.feature as feature

    sound = samples.astype(np.float32) / FULL_SCALE
    floor = 10 ** (config.floor_dbfs / 20)
    if not len(sound):
        return []
    loudest = float(np.sqrt(np.max(feature.rms(y=sound, frame_length=_WINDOW, hop_length=_HOP) ** 2)))
    if loudest < floor:
        return []
    above_reference = max(0.0, 20 * np.log10(loudest) - lasting_level_dbfs(samples) - config.crest_db)
    # librosa knows one limit, relative to the loudest window: `top_db` below the reference, or the floor where that is
    # higher.
    top_db = min(config.top_db + above_reference, 20 * np.log10(loudest / floor))
    sounding = effects.split(sound, top_db=max(top_db, 1e-3), frame_length=_WINDOW, hop_length=_HOP)
    frames = len(samples) // SAMPLES_PER_FRAME
    spans: list[Span] = []
    for start, stop in sounding:
        first, last = int(start) // SAMPLES_PER_FRAME, min(frames, -(-int(stop) // SAMPLES_PER_FRAME))
        if spans and first <= spans[-1].stop_frame:
            first = spans.pop().start_frame
        if last > first:
            spans.append(Span(first, last))
    return spans
