"""Stage 7, quality: blur, frozen or black frames, letterbox, watermark and burnt-in text (4.1, last sentence).

Blur is measured on the face at a fixed size, because sharpness depends on size, and windows on the tracker. A watermark
is searched within one moving shot, and over the shots of all clips of a group together, because most corpora arrive as
single-shot clips.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from avf_shards.schema.ledger import Check
from avf_shards.settings.config import refuse
from avf_shards.timeline import FRAMES_PER_SECOND

from avf_curation.media.types import Bytes
from avf_curation.stages.block_changes import change_by_block
from avf_curation.stages.tracking import CropWindow

STAGE = "quality"
MIN_SIDE_PX = 64  # the smallest side_px that a recipe may set
BLOCKS = 8  # blocks per side in which change is measured
SHARPNESS_PX = 64  # side of the face, from brow to chin, on which sharpness is measured
DARK_LEVEL = 28  # grey levels: encoded black bars stay below, with their ringing
PLAIN_LEVELS = 16  # grey levels between the brightest and the darkest pixel of a bar of one colour
MIN_EDGE_SHARE = 0.5  # of the edge of such a bar: pixels that differ from those beside it; measured: white bars 0.8
MAX_UNEVEN_PX = 3  # between the bars on either side, in a frame of side_px
GreyLevels = npt.NDArray[np.int16]


@dataclass(frozen=True, kw_only=True)
class QualityConfig:
    """Settings of the quality stage. Where the thresholds come from: recipes/default.yaml."""

    side_px: int  # longer side of the frames in which watermarks and bars are searched
    every: int  # each every-th frame is analysed
    min_sharpness: float  # median variance of the Laplacian on the grey face, SHARPNESS_PX wide
    max_frozen_s: float  # longest run of frames without change
    frozen_level: float  # grey levels: a change of every 8x8 block below this counts as none
    still_level: float  # grey levels: a face that changes less, without the camera's motion, is a photograph
    max_black_share: float  # share of frames darker than black_level
    black_level: float  # mean grey level
    max_bars: float  # share of the crop covered by bars: black, of another colour or of a blurred copy
    max_still_letters: int  # letters of a row of text that stays in a corner or at a border
    max_overlay_px: float  # edge pixels of a watermark in a frame of side_px
    max_subtitle_px: float  # edge pixels of a line of text that comes or goes, in a frame of side_px
    max_ticker_share: float  # share of the time in which a strip of the picture moves by itself
    watermark_min_s: float  # shorter shots have too little motion to part a watermark from the background
    pool_min_shots: int  # spans of a group needed before their frames are pooled

    def __post_init__(self) -> None:
        refuse(
            (self.every < 1, f"every {self.every} must be at least 1"),
            (self.side_px < MIN_SIDE_PX, f"side_px {self.side_px} must be at least {MIN_SIDE_PX}"),
            (self.pool_min_shots < 2, f"pool_min_shots {self.pool_min_shots} must be at least 2"),
        )


@dataclass(frozen=True, kw_only=True)
class Margins:
    """How many rows and columns bars take at the borders of a frame."""

    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0


@dataclass(frozen=True, kw_only=True)
class QualityScores:
    """Measurements of the quality stage on one span."""

    sharpness: float  # median variance of the Laplacian
    frozen_s: float  # longest run of frames without change; the whole span where only the camera moves
    black_share: float  # share of black frames
    bars: float  # share of the crop covered by bars
    overlay_px: float | None  # edge pixels of the strongest overlay; None where too little moves to tell
    subtitle_px: float = 0.0  # edge pixels of the largest line of text that comes or goes
    ticker_share: float = 0.0  # of the time, in which a strip moves along its rows and the scene does not
    still_letters: int = 0  # of the longest row of text that stays in a corner or at a border

    def record(self) -> dict[str, Any]:
        """Return the measurements as the ledger stores them."""
        return {name: None if value is None else round(float(value), 4) for name, value in vars(self).items()}


def decide(scores: QualityScores, config: QualityConfig) -> tuple[Check, ...]:
    """Check a span by itself: sharp, moving, lit, without bars, without burnt-in text and without a watermark."""
    return (
        Check(
            stage=STAGE,
            reason="blurred",
            score=scores.sharpness,
            operator=">=",
            threshold=config.min_sharpness,
            setting="quality.min_sharpness",
        ),
        Check(
            stage=STAGE,
            reason="frozen",
            score=scores.frozen_s,
            operator="<=",
            threshold=config.max_frozen_s,
            setting="quality.max_frozen_s",
        ),
        Check(
            stage=STAGE,
            reason="black",
            score=scores.black_share,
            operator="<=",
            threshold=config.max_black_share,
            setting="quality.max_black_share",
        ),
        Check(
            stage=STAGE,
            reason="letterbox",
            score=scores.bars,
            operator="<=",
            threshold=config.max_bars,
            setting="quality.max_bars",
        ),
        *_check_marks(scores, config),
    )


def _check_marks(scores: QualityScores, config: QualityConfig) -> tuple[Check, ...]:
    """Check that nothing is burnt into the picture."""
    return (
        Check(
            stage=STAGE,
            reason="subtitles",
            score=scores.subtitle_px,
            operator="<=",
            threshold=config.max_subtitle_px,
            setting="quality.max_subtitle_px",
        ),
        Check(
            stage=STAGE,
            reason="ticker",
            score=scores.ticker_share,
            operator="<=",
            threshold=config.max_ticker_share,
            setting="quality.max_ticker_share",
        ),
        Check(
            stage=STAGE,
            reason="watermark",
            score=scores.overlay_px,
            operator="<=",
            threshold=config.max_overlay_px,
            setting="quality.max_overlay_px",
        ),
        Check(
            stage=STAGE,
            reason="still_text",
            score=scores.still_letters,
            operator="<=",
            threshold=config.max_still_letters,
            setting="quality.max_still_letters",
        ),
    )


def decide_pooled(overlay_px: float | None, config: QualityConfig) -> Check:
    """Check that the frames of all spans of a group together show no watermark."""
    return Check(
        stage=STAGE,
        reason="watermark_pooled",
        score=overlay_px,
        operator="<=",
        threshold=config.max_overlay_px,
        setting="quality.max_overlay_px",
    )


def frozen_s(grey_THW: Bytes, level: float) -> float:
    """Return the longest time in seconds without change.

    Two frames do not differ when the mean absolute difference of each of 8x8 blocks is below `level`: blocks see a
    blink that a mean over the frame would hide.
    """
    _, height, width = grey_THW.shape
    rows, columns = height // BLOCKS, width // BLOCKS
    longest = run = 0
    for before_HW, after_HW in pairwise(grey_THW[:, : rows * BLOCKS, : columns * BLOCKS]):
        run = run + 1 if change_by_block(before_HW, after_HW, rows, columns).max() < level else 0
        longest = max(longest, run)
    return longest / FRAMES_PER_SECOND


def black_share(grey_THW: Bytes, level: float) -> float:
    """Return the share of frames whose mean grey level is below `level`."""
    return float((grey_THW.mean((1, 2)) < level).mean())


def bars_in_window(
    frames_THW: Sequence[Bytes], scale: float, window: CropWindow, blurred: Margins | None = None
) -> float:
    """Return the share of the crop that bars cover: rows and columns at the border, dark or plain in every frame.

    Args:
        frames_THW: grey frames, the source frames times `scale`.
        window: the crop, in source pixels.
        blurred: bars of another kind, which count too where they are wider; in pixels of the frames.
    """
    stack_THW = np.stack(frames_THW)
    brightest, darkest = np.max(stack_THW, axis=0), np.min(stack_THW, axis=0)
    top, bottom = _bar_ends(darkest, brightest)
    left, right = _bar_ends(darkest.T, brightest.T)
    if blurred is not None:
        top, bottom = max(top, blurred.top), max(bottom, blurred.bottom)
        left, right = max(left, blurred.left), max(right, blurred.right)
    height, width = brightest.shape
    if top + bottom >= height or left + right >= width:
        return 1.0
    half = window.side_px / 2
    low = np.maximum(window.centres_T2 - half, (left / scale, top / scale))
    high = np.minimum(window.centres_T2 + half, ((width - right) / scale, (height - bottom) / scale))
    lit = np.prod(np.maximum(high - low, 0), axis=1)
    # Padding beyond the frame's border is judged by the track stage; here it must not count as a bar.
    frame_low = np.maximum(window.centres_T2 - half, 0)
    frame_high = np.minimum(window.centres_T2 + half, (width / scale, height / scale))
    in_frame = np.prod(np.maximum(frame_high - frame_low, 1e-9), axis=1)
    return float(1 - (lit / in_frame).mean())


def _bar_ends(darkest: Bytes, brightest: Bytes) -> tuple[int, int]:
    """Count the rows of a bar at the start and at the end."""
    dark, plain = _dark_ends(brightest.max(1)), _plain_ends(darkest.astype(np.int16), brightest.astype(np.int16))
    return max(dark[0], plain[0]), max(dark[1], plain[1])


def _plain_ends(darkest: GreyLevels, brightest: GreyLevels) -> tuple[int, int]:
    """Count the rows at the start and at the end that have one colour, where a straight line ends each.

    A plain background has no such line, and reaches as far down from the top as up from the bottom only by chance.
    """
    counts = []
    for order in (slice(None), slice(None, None, -1)):
        low, high = darkest[order], brightest[order]
        span = np.maximum.accumulate(high.max(1)) - np.minimum.accumulate(low.min(1))
        count = int(np.argmax(span > PLAIN_LEVELS)) if (span > PLAIN_LEVELS).any() else len(span)
        beside = low[min(count + 2, len(low) - 1)]  # rows that the edge of the bar is blurred over lie between
        if count == 0 or (np.abs(beside - low[0]) > PLAIN_LEVELS).mean() < MIN_EDGE_SHARE:
            return 0, 0
        counts.append(count)
    return (counts[0], counts[1]) if abs(counts[0] - counts[1]) <= MAX_UNEVEN_PX else (0, 0)


def _dark_ends(brightest: Bytes) -> tuple[int, int]:
    """Count the dark entries at the start and at the end."""
    lit = np.nonzero(brightest > DARK_LEVEL)[0]
    return (int(lit[0]), int(len(brightest) - 1 - lit[-1])) if len(lit) else (len(brightest), 0)
