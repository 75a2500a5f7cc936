"""librosa.effects.split with an absolute floor, in frames of the 25 fps timeline."""

import numpy as np
from avf_shards.timeline import SAMPLES_PER_FRAME, Span

from avf_curation.media.types import Samples
from avf_curation.stages.silence import SilenceConfig

_WINDOW = 2048  # librosa's default, 128 ms
_HOP = 160  # 10 ms: four to a frame


def split_silence(samples: Samples, config: SilenceConfig) -> list[Span]:
    """Non-silent spans of `samples`, in frames, merged where they touch."""
    import librosa.effects as effects
    import librosa.feature as feature

    sound = samples.astype(np.float32) / 32768
    floor = 10 ** (config.floor_dbfs / 20)
    if not len(sound):
        return []
    loudest = float(np.sqrt(np.max(feature.rms(y=sound, frame_length=_WINDOW, hop_length=_HOP) ** 2)))
    if loudest < floor:
        return []
    # One reference for both limits: `top_db` below the loudest, but never below the floor.
    top_db = min(config.top_db, 20 * np.log10(loudest / floor))
    pieces = effects.split(sound, top_db=max(top_db, 1e-3), frame_length=_WINDOW, hop_length=_HOP)
    frames = len(samples) // SAMPLES_PER_FRAME
    spans: list[Span] = []
    for start, stop in pieces:
        first, last = int(start) // SAMPLES_PER_FRAME, min(frames, -(-int(stop) // SAMPLES_PER_FRAME))
        if spans and first <= spans[-1].stop_frame:
            first = spans.pop().start_frame
        if last > first:
            spans.append(Span(first, last))
    return spans
