"""Sampling of masks: the tokens that the encoder sees and those that the decoder reconstructs, as index arrays.

HiCMAE (3.1.1): tube masking of video at 0.9, random masking of audio at 0.8, and the decoder reconstructs every masked
token. AVF-MAE++: 0.9 and 0.8125 (Table 5), and dual masking (3.2, eq. 2 and 3): the decoder reconstructs half of all
positions, sampled independently of the encoder's mask: in running cells (VideoMAE V2) for video, randomly for audio.

Shapes: N tokens of a clip, V visible tokens, M tokens to reconstruct.
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt
from avf_shards.errors import UserError
from avf_shards.settings.config import refuse

from avf_training.models.config import ModelConfig

Index = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


class RandomSource(Protocol):
    """The interface of a random generator that masks use: numpy's Generator and the older RandomState implement it."""

    def shuffle(self, x: npt.NDArray[np.bool_]) -> None:
        """Shuffle `x` in place."""


@dataclass(frozen=True, kw_only=True)
class MaskConfig:
    """Settings of masking: the shares of masked tokens, and the division of the visible tokens into regions."""

    video_ratio: float  # share of the video tokens that the encoder does not see
    audio_ratio: float  # share of the audio tokens that the encoder does not see
    decoder_ratio: float  # share of all positions that the decoder leaves out; 0: it reconstructs every masked token
    # For LGI encoders. `consistent` shows the same number of tokens in every region, and the regions are those of
    # fine-tuning. `authors_code` cuts the visible tokens into regions in raster order: then a region token stands for
    # other places in pre-training (in three of four clips) than in fine-tuning (ADR 5).
    region_mask: Literal["consistent", "authors_code"] = "consistent"

    def __post_init__(self) -> None:
        ratio = self.decoder_ratio
        refuse(
            (not 0 < self.video_ratio < 1, f"video_ratio {self.video_ratio} must lie between 0 and 1"),
            (not 0 < self.audio_ratio < 1, f"audio_ratio {self.audio_ratio} must lie between 0 and 1"),
            (
                ratio not in (0, 0.25, 0.5, 0.75),
                f"decoder_ratio {ratio} must be 0, 0.25, 0.5 or 0.75: quarters of a 2x2 cell",
            ),
        )


def parse_ratios(text: str) -> list[MaskConfig]:
    """Return the pairs of ratios in a text such as 0.8:0.75,0.9:0.8125, video:audio. Raises UserError."""
    try:
        pairs = [tuple(float(part) for part in pair.split(":")) for pair in text.split(",")]
        ratios = [(video, audio) for video, audio in pairs]
    except ValueError:
        raise UserError(f"--ratios {text}: must look like 0.8:0.75,0.9:0.8125 (video:sound)") from None
    try:
        return [MaskConfig(video_ratio=video, audio_ratio=audio, decoder_ratio=0.0) for video, audio in ratios]
    except ValueError as error:
        raise UserError(f"--ratios {text}: {error}") from None


def paper_masks(config: ModelConfig) -> MaskConfig:
    """Return the ratios of the model's paper (HiCMAE 3.1.1; AVF-MAE++ Table 5), or the nearest its regions allow."""
    if config.encoder == "vit":
        return MaskConfig(video_ratio=0.9, audio_ratio=0.8, decoder_ratio=0.0)
    window, block = math.prod(config.video.region[1:]), math.prod(config.audio.region)
    return MaskConfig(
        video_ratio=round(0.9 * window) / window, audio_ratio=round(0.8125 * block) / block, decoder_ratio=0.5
    )


@dataclass(frozen=True, kw_only=True)
class ModalityMask:
    """The mask of one modality of one clip, as token indices in raster order of the grid."""

    visible_V: Index  # tokens that the encoder sees, in the order in which it takes them
    # Position that the decoder adds to each visible token: the token's own, except with `authors_code`, where LGI
    # encoders give tokens region by region while the positions are added in raster order.
    position_V: Index
    target_M: Index  # tokens to reconstruct
    weight_M: npt.NDArray[np.float32]  # 1 if the encoder did not see the token, so that its error counts; else 0


@dataclass(frozen=True, kw_only=True)
class ClipMask:
    """The masks of both modalities of one clip."""

    video: ModalityMask  # tokens of the tubes
    audio: ModalityMask  # tokens of the spectrogram


Arrange = Callable[[Index], Index]  # visible tokens from raster order to the order in which the encoder takes them


class Masker:
    """Samples the masks of clips for one model. Raises ValueError for ratios that do not fit its grids and regions."""

    def __init__(self, model: ModelConfig, masks: MaskConfig) -> None:
        geometry, self.masks = model.geometry, masks
        self.frames = geometry.frames
        self._video_grid, self._audio_grid = geometry.video_grid, geometry.audio_grid
        self._window, self._block = self._video_grid[1:], self._audio_grid
        self._arrange_video: Arrange = _keep_order
        self._arrange_audio: Arrange = _keep_order
        regional, consistent = model.encoder != "vit", masks.region_mask == "consistent"
        if regional and consistent:
            self._window = (model.video.region[1], model.video.region[2])
            self._block = (model.audio.region[0], model.audio.region[1])
            self._arrange_video = _by_region(self._video_grid, model.video.region)
            self._arrange_audio = _by_region(self._audio_grid, model.audio.region)
        self._window_masked = _masked_tokens("video_ratio", masks.video_ratio, self._window, regional and consistent)
        self._block_masked = _masked_tokens("audio_ratio", masks.audio_ratio, self._block, regional and consistent)
        if regional and not consistent:
            # The authors' code cuts visible tokens into chunks, so their number must divide.
            shown = math.prod(self._window) - self._window_masked
            self._arrange_video = _cut_in_raster_order(self._video_grid, model.video.region, shown, masks.video_ratio)
            shown, regions = math.prod(self._block) - self._block_masked, model.regions("audio")
            _check_divisible("audio_ratio", masks.audio_ratio, math.prod(self._block), shown, regions)
        self._cells = running_cells(self._video_grid, masks.decoder_ratio) if masks.decoder_ratio else None

    def sample(self, random: np.random.Generator) -> ClipMask:
        """Sample the masks of one clip; all random numbers come from `random`."""
        video_hidden = tube_mask(random, self._video_grid, self._window, self._window_masked)
        audio_hidden = block_mask(random, self._audio_grid, self._block, self._block_masked)
        if self._cells is None:
            return self.from_flags(video_hidden, audio_hidden, video_hidden, audio_hidden)
        dropped = int(self.masks.decoder_ratio * len(audio_hidden))
        audio_dropped = block_mask(random, self._audio_grid, self._audio_grid, dropped)
        video_kept = self._cells[random.integers(len(self._cells))]
        return self.from_flags(video_hidden, audio_hidden, video_kept, ~audio_dropped)

    def from_flags(self, video_hidden: Flags, audio_hidden: Flags, video_kept: Flags, audio_kept: Flags) -> ClipMask:
        """Return the masks for given flags (N,): hidden from the encoder, and kept for the decoder to reconstruct."""
        return ClipMask(
            video=self._modality_mask(video_hidden, video_kept, self._arrange_video),
            audio=self._modality_mask(audio_hidden, audio_kept, self._arrange_audio),
        )

    def _modality_mask(self, hidden_N: Flags, kept_N: Flags, arrange: Arrange) -> ModalityMask:
        raster, target = np.flatnonzero(~hidden_N), np.flatnonzero(kept_N)
        visible = arrange(raster)
        position = raster if self.masks.region_mask == "authors_code" else visible
        return ModalityMask(
            visible_V=visible, position_V=position, target_M=target, weight_M=hidden_N[target].astype(np.float32)
        )


def _keep_order(visible_V: Index) -> Index:
    return visible_V


def _by_region(grid: tuple[int, ...], region: tuple[int, ...]) -> Arrange:
    """Return an arrangement that sorts tokens by region."""
    return partial(_sort_by_rank, np.argsort(region_order(grid, region)))


def _sort_by_rank(rank_N: Index, visible_V: Index) -> Index:
    return visible_V[np.argsort(rank_N[visible_V])]


def _cut_in_raster_order(grid: tuple[int, int, int], region: tuple[int, ...], shown: int, ratio: float) -> Arrange:
    """Return the authors' arrangement: the visible tokens of each frame, in raster order, cut into regions."""
    time, height, width = grid
    parts = height * width // (region[1] * region[2])
    _check_divisible("video_ratio", ratio, height * width, shown, parts)
    order = np.arange(time * shown).reshape(time // region[0], region[0], parts, shown // parts)
    return partial(_permute, order.transpose(0, 2, 1, 3).ravel())


def _permute(order_V: Index, visible_V: Index) -> Index:
    return visible_V[order_V]


def _check_divisible(field: str, ratio: float, tokens: int, shown: int, parts: int) -> None:
    if shown % parts:
        down, up = (tokens - n * parts for n in (shown // parts, shown // parts + 1))
        fitting = " or ".join(f"{masked / tokens:.6g}" for masked in sorted({up, down}) if 0 < masked < tokens)
        raise ValueError(
            f"{field} {ratio} leaves {shown} visible tokens, which {parts} regions cannot share; {fitting} would fit"
        )


def region_order(grid: tuple[int, ...], region: tuple[int, ...]) -> Index:
    """Return the raster indices of all tokens, region by region, in raster order inside each region: (N,)."""
    index = np.arange(math.prod(grid)).reshape([n for g, r in zip(grid, region, strict=True) for n in (g // r, r)])
    outer, inner = range(0, 2 * len(grid), 2), range(1, 2 * len(grid), 2)
    return index.transpose([*outer, *inner]).ravel()


def shuffle_mask(random: RandomSource, shown: int, hidden: int) -> Flags:
    """Return `hidden` True and `shown` False flags in random order."""
    flags = np.concatenate((np.zeros(shown, bool), np.ones(hidden, bool)))
    random.shuffle(flags)
    return flags


def tube_mask(random: RandomSource, grid: tuple[int, int, int], window: tuple[int, int], masked: int) -> Flags:
    """Mask the same `masked` tokens of each window in every frame: (N,).

    A window of the full frame is plain tube masking.
    """
    time, height, width = grid
    return np.tile(block_mask(random, (height, width), window, masked), time)


def block_mask(random: RandomSource, grid: tuple[int, int], block: tuple[int, int], masked: int) -> Flags:
    """Mask `masked` tokens of each block of a two-dimensional grid: (N,)."""
    rows, columns = block
    flags = np.zeros(grid, bool)
    for top, left in itertools.product(range(0, grid[0], rows), range(0, grid[1], columns)):
        flags[top : top + rows, left : left + columns] = shuffle_mask(random, rows * columns - masked, masked).reshape(
            block
        )
    return flags.ravel()


def running_cells(grid: tuple[int, int, int], ratio: float) -> Flags:
    """Return the four maps of tokens to reconstruct, (4, N): a 2x2 cell whose pattern rotates from frame to frame.

    This is the running cell masking of VideoMAE V2. The ratio leaves out whole quarters of a cell.
    """
    time, height, width = grid
    if height % 2 or width % 2:
        raise ValueError(f"decoder_ratio {ratio} needs an even token grid for its 2x2 cells, not {height}x{width}")
    reconstructed = np.arange(4) >= int(4 * ratio)
    maps = np.zeros((4, time, height, width), bool)
    for start, frame in itertools.product(range(4), range(time)):
        cell = reconstructed[(np.arange(4) + start + frame + 1) % 4].reshape(2, 2)
        maps[start, frame] = np.tile(cell, (height // 2, width // 2))
    return maps.reshape(4, -1)


def _masked_tokens(field: str, ratio: float, block: tuple[int, ...], exact: bool) -> int:
    """Return how many tokens of a block are masked.

    The authors' code truncates the product to an integer. With `exact` (blocks are regions) it must be an integer.
    """
    size = math.prod(block)
    masked = ratio * size
    # A share such as 13/15 has no exact float: a product next to an integer counts as that integer.
    count = round(masked) if abs(masked - round(masked)) < 1e-6 else int(masked)
    if not 0 < count < size or (exact and abs(masked - count) > 1e-6):
        fitting = " or ".join(f"{n / size:.6g}" for n in (int(masked), int(masked) + 1) if 0 < n < size)
        shape = "x".join(map(str, block))
        raise ValueError(
            f"{field} {ratio} masks {masked:g} of the {size} tokens of a {shape} region; {fitting} would fit"
        )
    return count
