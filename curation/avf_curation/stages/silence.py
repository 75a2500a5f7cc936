"""Stage 3, silence: silent stretches become rejected spans, speech becomes candidates (AVF-MAE++ 4.1, step 3).

librosa splits where the level stays `top_db` below the loudest frame; a frame that is far louder than any sound that
lasts, such as a click, is no reference. An absolute floor catches audio tracks that are silent throughout. Short pauses
do not split speech; long speech is cut at its quietest point.

The level cannot tell speech from other sound. So a voice activity detector says of each frame whether somebody speaks,
and a stretch of which too small a share is speech is rejected: music, noise, a street.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from avf_shards.schema.ledger import Check
from avf_shards.timeline import FRAMES_PER_SECOND, SAMPLES_PER_FRAME, Span

from avf_curation.media.types import FULL_SCALE, Samples

STAGE = "silence"
_LASTING_FRAMES = 8  # of the 25 of a second: a click and its echo are shorter, the vowels of a word are not
Levels = npt.NDArray[np.float64]
SpeechBackend = Literal["auto", "silero", "none"]
SplitSilence = Callable[[Samples, "SilenceConfig"], list[Span]]
"""(samples of a shot, config) -> spans without a pause, in frames of the shot (detectors/librosa_split.py)."""
FindSpeech = Callable[[Samples], npt.NDArray[np.bool_]]
"""(samples of a shot) -> whether each of its frames is speech, (frames,) (detectors/silero_vad.py)."""


@dataclass(frozen=True, kw_only=True)
class SilenceConfig:
    """Settings of the silence stage. Where the thresholds come from: recipes/default.yaml."""

    top_db: float  # decibels: a level this far below the loudest frame is silence
    crest_db: float  # a frame that is further above the loudest level that lasts, such as a click, is no loudest frame
    floor_dbfs: float  # a level below this is silence, whatever the loudest frame is
    min_pause_s: float  # shorter pauses stay inside speech
    pad_s: float  # seconds of the pause that are kept on either side of speech
    min_clip_s: float  # shorter candidates are rejected
    max_clip_s: float  # longer speech is cut
    # auto: silero where its package is installed; none: whether sound is speech is not measured
    speech_backend: SpeechBackend
    min_speech_share: float  # of a stretch's frames; a stretch with less speech is rejected

    def __post_init__(self) -> None:
        if not 0 < self.min_clip_s <= self.max_clip_s / 2:
            # Else a long span could not be cut into pieces of at least min_clip_s.
            raise ValueError(f"min_clip_s {self.min_clip_s} must be above 0 and at most half of max_clip_s")
        if not 0 <= self.min_speech_share <= 1:
            raise ValueError(f"min_speech_share {self.min_speech_share} is not a share between 0 and 1")


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """A part of a shot that is all sound or all silence."""

    span: Span  # frames of the input's timeline
    speech: bool  # whether the level is above the limits of silence: speech, or any other sound
    level_dbfs: float  # mean power
    speech_share: float | None = None  # share of the frames in which somebody speaks; None where it is not measured

    def record(self) -> dict[str, Any]:
        """Return the measurements as the ledger stores them."""
        share = None if self.speech_share is None else round(self.speech_share, 4)
        return {"speech": self.speech, "level_dbfs": round(self.level_dbfs, 2), "speech_share": share}


def measure(
    shot: Span, samples: Samples, split: SplitSilence, config: SilenceConfig, find_speech: FindSpeech | None = None
) -> list[Stretch]:
    """Cut a shot into stretches of sound and silence that tile the shot.

    Args:
        shot: its frames.
        samples: the shot's sound, SAMPLES_PER_FRAME samples per frame.
        split: finds what is not silent.
        config: settings of the stage.
        find_speech: tells speech from other sound; None: shares of speech are not measured.
    """
    spoken_T = None if find_speech is None else find_speech(samples)
    levels = frame_levels_dbfs(samples)
    speech = _pad(split(samples, config), round(config.pad_s * FRAMES_PER_SECOND), shot.frames)
    longest = round(config.max_clip_s * FRAMES_PER_SECOND)
    shortest = round(config.min_clip_s * FRAMES_PER_SECOND)
    stretches: list[Stretch] = []
    tiled = 0  # frames of the shot that stretches cover so far

    def add(start: int, stop: int, is_speech: bool) -> None:
        if stop > start:
            span = Span(shot.start_frame + start, shot.start_frame + stop)
            share = None if spoken_T is None else float(spoken_T[start:stop].mean())
            level = _mean_level(levels[start:stop])
            stretches.append(Stretch(span=span, speech=is_speech, level_dbfs=level, speech_share=share))

    for span in speech:
        add(tiled, span.start_frame, False)
        edges = cut_long(levels, span, longest, shortest)
        for start, stop in zip(edges, edges[1:], strict=False):
            add(start, stop, True)
        tiled = span.stop_frame
    add(tiled, shot.frames, False)
    return stretches


def describe_speech(span: Span, samples: Samples, find_speech: FindSpeech | None = None) -> Stretch:
    """Return a part of a stretch of speech, of which `samples` is the sound; `find_speech` as in `measure`."""
    share = None if find_speech is None else float(find_speech(samples).mean())
    return Stretch(span=span, speech=True, level_dbfs=_mean_level(frame_levels_dbfs(samples)), speech_share=share)


def decide(stretch: Stretch, config: SilenceConfig) -> tuple[Check, ...]:
    """Check that the stretch is no silence, is long enough, and is speech rather than other sound.

    The score of the first check is 1 for sound, 0 for silence. There is no third check where the recipe asks for none.
    """
    audible = (
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
    if config.speech_backend == "none":
        return audible
    return (
        *audible,
        Check(
            stage=STAGE,
            reason="no_speech",
            score=stretch.speech_share,
            operator=">=",
            threshold=config.min_speech_share,
            setting="silence.min_speech_share",
        ),
    )


def frame_levels_dbfs(samples: Samples) -> Levels:
    """Return the RMS level of each frame of the timeline in dBFS, (frames,)."""
    frames = samples[: len(samples) // SAMPLES_PER_FRAME * SAMPLES_PER_FRAME].reshape(-1, SAMPLES_PER_FRAME)
    rms = np.sqrt(np.mean((frames.astype(np.float64) / FULL_SCALE) ** 2, axis=1))
    levels_T: Levels = 20 * np.log10(np.maximum(rms, 1e-5))  # -100 dBFS stands for digital silence
    return levels_T


def lasting_level_dbfs(samples: Samples) -> float:
    """Return the loudest level that sound reaches for 0.32 s within one second, together or in pieces.

    Speech does not exceed it by more than 6 dB; a click does, however loud it is. Sound shorter than a second has no
    such level: its loudest frame is returned.
    """
    from scipy.ndimage import rank_filter  # takes a while to import, and every command reads the thresholds above

    levels = frame_levels_dbfs(samples)
    if len(levels) < FRAMES_PER_SECOND:
        return float(levels.max(initial=-100.0))
    return float(rank_filter(levels, -_LASTING_FRAMES, FRAMES_PER_SECOND, mode="constant", cval=-100.0).max())


def cut_long(levels: Levels, span: Span, longest: int, shortest: int) -> list[int]:
    """Return the edges that cut `span` into pieces of at most `longest` and at least `shortest` frames.

    Each cut is at the quietest frame of the range where a cut is allowed; levels are averaged over 5 frames. A span
    shorter than `shortest` stays as it is.
    """
    smooth = np.convolve(levels, np.ones(5) / 5, mode="same")  # a single quiet frame is a closure, not a pause
    edges = [span.start_frame]
    while span.stop_frame - edges[-1] > longest:
        remaining = span.stop_frame - edges[-1]
        # From half of the longest piece on: pieces come out long and few.
        low = edges[-1] + max(shortest, min(longest // 2, remaining - longest))
        high = min(edges[-1] + longest, span.stop_frame - shortest)
        edges.append(low + int(np.argmin(smooth[low : high + 1])))
    return [*edges, span.stop_frame]


def _mean_level(levels: Levels) -> float:
    return float(10 * np.log10(np.mean(10 ** (levels / 10))))  # of powers: a mean of decibels would favour pauses


def _pad(speech: list[Span], pad: int, frames: int) -> list[Span]:
    """Widen each span by `pad` frames on both sides, at most to the middle of the pause beside the span."""
    padded = []
    for number, span in enumerate(speech):
        low = (speech[number - 1].stop_frame + span.start_frame + 1) // 2 if number else 0
        high = (span.stop_frame + speech[number + 1].start_frame + 1) // 2 if number + 1 < len(speech) else frames
        padded.append(Span(max(low, span.start_frame - pad), min(high, span.stop_frame + pad)))
    return padded
