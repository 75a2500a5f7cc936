"""Stage 3, silence: silent stretches become rejected spans, speech becomes candidates (AVF-MAE++ 4.1, step 3).

librosa splits where the level stays `top_db` below the loudest; an absolute floor catches sound tracks that are silent
throughout. Short pauses do not split; long speech is cut at its quietest point.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from avf_shards.schema.ledger import Check
from avf_shards.timeline import FRAMES_PER_SECOND, SAMPLES_PER_FRAME, Span

from avf_curation.media.types import Samples

STAGE = "silence"
Levels = npt.NDArray[np.float64]
SplitSilence = Callable[[Samples, "SilenceConfig"], list[Span]]
"""(samples of a shot, config) -> non-silent spans, in frames of the shot. backends/librosa_split.py."""


@dataclass(frozen=True, kw_only=True)
class SilenceConfig:
    """top_db: below the loudest frame by this is silent. floor_dbfs: below this is silent whatever the loudest is.

    min_pause_s: shorter pauses stay inside speech. pad_s: kept around speech. min_clip_s, max_clip_s: of a candidate.
    """

    top_db: float
    floor_dbfs: float
    min_pause_s: float
    pad_s: float
    min_clip_s: float
    max_clip_s: float

    def __post_init__(self) -> None:
        if not 0 < self.min_clip_s <= self.max_clip_s / 2:
            raise ValueError(f"min_clip_s {self.min_clip_s} must be above 0 and at most half of max_clip_s")


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """A part of a shot: speech or silence, with its level."""

    span: Span
    speech: bool
    level_dbfs: float

    def record(self) -> dict[str, Any]:
        return {"speech": self.speech, "level_dbfs": round(self.level_dbfs, 2)}


def measure(shot: Span, samples: Samples, split: SplitSilence, config: SilenceConfig) -> list[Stretch]:
    """Cut `shot` (its samples: shot.frames * 640) into stretches that tile it."""
    levels = frame_levels_dbfs(samples)
    speech = _close_pauses(split(samples, config), round(config.min_pause_s * FRAMES_PER_SECOND))
    speech = _pad(speech, round(config.pad_s * FRAMES_PER_SECOND), shot.frames)
    longest = round(config.max_clip_s * FRAMES_PER_SECOND)
    shortest = round(config.min_clip_s * FRAMES_PER_SECOND)
    stretches: list[Stretch] = []
    at = 0

    def add(start: int, stop: int, is_speech: bool) -> None:
        if stop > start:
            span = Span(shot.start_frame + start, shot.start_frame + stop)
            stretches.append(Stretch(span=span, speech=is_speech, level_dbfs=_mean_level(levels[start:stop])))

    for span in speech:
        add(at, span.start_frame, False)
        edges = cut_long(levels, span, longest, shortest)
        for start, stop in zip(edges, edges[1:], strict=False):
            add(start, stop, True)
        at = span.stop_frame
    add(at, shot.frames, False)
    return stretches


def decide(stretch: Stretch, config: SilenceConfig) -> tuple[Check, ...]:
    """Speech, and long enough. Silence is recorded with the share of speech in it, which is 0."""
    return (
        Check(stage=STAGE, reason="silent", score=1.0 if stretch.speech else 0.0, operator=">=", threshold=0.5),
        Check(
            stage=STAGE,
            reason="too_short",
            score=stretch.span.seconds,
            operator=">=",
            threshold=config.min_clip_s,
            setting="silence.min_clip_s",
        ),
    )


def frame_levels_dbfs(samples: Samples) -> Levels:
    """RMS of each 25 fps frame in dB below full scale, (frames,)."""
    frames = samples[: len(samples) // SAMPLES_PER_FRAME * SAMPLES_PER_FRAME].reshape(-1, SAMPLES_PER_FRAME)
    rms = np.sqrt(np.mean((frames.astype(np.float64) / 32768) ** 2, axis=1))
    levels_T: Levels = 20 * np.log10(np.maximum(rms, 1e-5))
    return levels_T


def cut_long(levels: Levels, span: Span, longest: int, shortest: int) -> list[int]:
    """Edges that cut `span` into pieces of at most `longest` and, where it is that long, at least `shortest` frames.

    Each cut is at the quietest frame (of a 5-frame mean) of the part where a cut may be.
    """
    smooth = np.convolve(levels, np.ones(5) / 5, mode="same")
    edges = [span.start_frame]
    while span.stop_frame - edges[-1] > longest:
        left = span.stop_frame - edges[-1]
        low = edges[-1] + max(shortest, min(longest // 2, left - longest))
        high = min(edges[-1] + longest, span.stop_frame - shortest)
        edges.append(low + int(np.argmin(smooth[low : high + 1])))
    return [*edges, span.stop_frame]


def _mean_level(levels: Levels) -> float:
    return float(10 * np.log10(np.mean(10 ** (levels / 10))))


def _close_pauses(speech: list[Span], min_pause: int) -> list[Span]:
    closed: list[Span] = []
    for span in speech:
        if closed and span.start_frame - closed[-1].stop_frame < min_pause:
            closed[-1] = Span(closed[-1].start_frame, span.stop_frame)
        else:
            closed.append(span)
    return closed


def _pad(speech: list[Span], pad: int, frames: int) -> list[Span]:
    """Widen each span by `pad`, at most to the middle of the pause beside it."""
    padded = []
    for i, span in enumerate(speech):
        low = (speech[i - 1].stop_frame + span.start_frame + 1) // 2 if i else 0
        high = (span.stop_frame + speech[i + 1].start_frame + 1) // 2 if i + 1 < len(speech) else frames
        padded.append(Span(max(low, span.start_frame - pad), min(high, span.stop_frame + pad)))
    return padded
