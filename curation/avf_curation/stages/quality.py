"""Stage 6, quality: blur, frozen or black pictures, letterbox, watermark and burnt-in text (4.1, last sentence).

Blur is measured on the fixed-size crop, because the figure depends on size. The watermark is looked for within one
moving shot, and pooled over the shots of all clips of one group, because most corpora arrive as single-shot clips.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from avf_shards.schema.ledger import Check
from avf_shards.timeline import FRAMES_PER_SECOND

from avf_curation.media.types import Bytes
from avf_curation.stages.tracking import CropWindow

STAGE = "quality"


@dataclass(frozen=True, kw_only=True)
class QualityConfig:
    """min_sharpness: median variance of the Laplacian on the grey crop. max_frozen_s: longest run without any change.

    frozen_level: largest change of any of 8x8 blocks that still counts as none, in grey levels.
    max_black_share: of frames darker than black_level. max_bars: share of the crop covered by black bars.
    max_overlay_px: edge pixels of a watermark at side_px. watermark_min_s: shorter shots cannot show one alone.
    pool_min_shots: pictures of different spans needed before pooling says anything.
    """

    side_px: int
    every: int
    min_sharpness: float
    max_frozen_s: float
    frozen_level: float
    max_black_share: float
    black_level: float
    max_bars: float
    max_overlay_px: float
    watermark_min_s: float
    pool_min_shots: int

    def __post_init__(self) -> None:
        if self.every < 1 or self.side_px < 64 or self.pool_min_shots < 2:
            raise ValueError("every must be at least 1, side_px at least 64, pool_min_shots at least 2")


@dataclass(frozen=True, kw_only=True)
class QualityScores:
    """None where there was too little motion or time to tell."""

    sharpness: float
    frozen_s: float
    black_share: float
    bars: float
    overlay_px: float | None

    def record(self) -> dict[str, Any]:
        return {name: None if v is None else round(float(v), 4) for name, v in vars(self).items()}


def decide(scores: QualityScores, config: QualityConfig) -> tuple[Check, ...]:
    """Everything one span can show by itself."""
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
        Check(
            stage=STAGE,
            reason="watermark",
            score=scores.overlay_px,
            operator="<=",
            threshold=config.max_overlay_px,
            setting="quality.max_overlay_px",
        ),
    )


def decide_pooled(overlay_px: float | None, config: QualityConfig) -> Check:
    """What the spans of one group show together."""
    return Check(
        stage=STAGE,
        reason="watermark_pooled",
        score=overlay_px,
        operator="<=",
        threshold=config.max_overlay_px,
        setting="quality.max_overlay_px",
    )


def frozen_s(grey_THW: Bytes, level: float) -> float:
    """Longest time without change: the largest of 8x8 block means of the absolute difference stays below `level`."""
    _, height, width = grey_THW.shape
    whole = grey_THW[:, : height // 8 * 8, : width // 8 * 8]

    def change(before: Bytes, after: Bytes) -> float:
        blocks = np.abs(after.astype(np.int16) - before).reshape(8, height // 8, 8, width // 8)
        return float(blocks.mean((1, 3)).max())

    still = [change(before, after) < level for before, after in zip(whole, whole[1:], strict=False)]
    longest = run = 0
    for one in still:
        run = run + 1 if one else 0
        longest = max(longest, run)
    return longest / FRAMES_PER_SECOND


def black_share(grey_THW: Bytes, level: float) -> float:
    """Share of frames whose mean is below `level`."""
    return float((grey_THW.mean((1, 2)) < level).mean())


def bars_in_window(pictures_THW: Sequence[Bytes], scale: float, window: CropWindow) -> float:
    """Share of the crop covered by black bars of the picture (rows and columns at its border, dark in every frame)."""
    brightest = np.max(np.stack(pictures_THW), axis=0)
    top, bottom = _dark_ends(brightest.max(1))
    left, right = _dark_ends(brightest.max(0))
    height, width = brightest.shape
    if top + bottom >= height or left + right >= width:
        return 1.0
    half = window.side_px / 2
    low = np.maximum(window.centres_T2 - half, (left / scale, top / scale))
    high = np.minimum(window.centres_T2 + half, ((width - right) / scale, (height - bottom) / scale))
    lit = np.prod(np.maximum(high - low, 0), axis=1)
    whole_low = np.maximum(window.centres_T2 - half, 0)
    whole_high = np.minimum(window.centres_T2 + half, (width / scale, height / scale))
    whole = np.prod(np.maximum(whole_high - whole_low, 1e-9), axis=1)
    return float(1 - (lit / whole).mean())


def _dark_ends(brightest: Bytes, level: int = 28) -> tuple[int, int]:
    """How many entries from the start and from the end stay dark."""
    lit = np.nonzero(brightest > level)[0]
    return (int(lit[0]), int(len(brightest) - 1 - lit[-1])) if len(lit) else (len(brightest), 0)
