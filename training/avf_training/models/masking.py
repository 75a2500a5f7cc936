"""Which tokens the encoder sees and which the decoder reconstructs, as index arrays of a fixed size.

HiCMAE: tube 0.9 and random 0.8, the decoder reconstructs all that is masked. AVF-MAE++: tube 0.9 and 0.8125, and dual
masking (3.1, eq. 1 to 3): the decoder reconstructs half of all positions, drawn without regard to the encoder's mask,
in a running cell (VideoMAE v2) for video and at random for audio.

Shapes: N all tokens of a clip, V visible ones, M ones to reconstruct.
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from avf_training.models.config import ModelConfig

Index = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


class RandomSource(Protocol):
    """numpy's Generator, and its older RandomState."""

    def shuffle(self, x: npt.NDArray[np.bool_]) -> None: ...


@dataclass(frozen=True, kw_only=True)
class MaskConfig:
    """*_ratio: masked share of the encoder's tokens. decoder_ratio: share that the decoder leaves out; at 0 it
    reconstructs all that is masked.

    region_mask, for LGI encoders: `consistent` shows the same number of tokens in every region that fine-tuning has
    too; `official` cuts the visible tokens into regions in raster order, as the authors' code does, so that a region
    token means other places in pre-training (three of four clips) than in fine-tuning.
    """

    video_ratio: float
    audio_ratio: float
    decoder_ratio: float
    region_mask: Literal["consistent", "official"] = "consistent"

    def __post_init__(self) -> None:
        for name in ("video_ratio", "audio_ratio"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name} {getattr(self, name)} must lie between 0 and 1")
        if self.decoder_ratio not in (0, 0.25, 0.5, 0.75):
            raise ValueError(f"decoder_ratio {self.decoder_ratio} must be 0, 0.25, 0.5 or 0.75: quarters of a 2x2 cell")


def paper_masks(config: ModelConfig) -> MaskConfig:
    """The ratios of the model's paper (HiCMAE 4.1; AVF-MAE++ Table 5), or the nearest that its regions allow."""
    if config.encoder == "vit":
        return MaskConfig(video_ratio=0.9, audio_ratio=0.8, decoder_ratio=0.0)
    window, block = math.prod(config.video.region[1:]), math.prod(config.audio.region)
    return MaskConfig(
        video_ratio=round(0.9 * window) / window, audio_ratio=round(0.8125 * block) / block, decoder_ratio=0.5
    )


@dataclass(frozen=True, kw_only=True)
class StreamMask:
    """One modality of one clip. weight_M: 1 where the encoder did not see the token, so that its error counts.

    position_V: the place the decoder is told of each visible token. It is that token's own, but in `official`, where
    the authors' LGI encoders give their tokens region by region and the positions are added in raster order.
    """

    visible_V: Index
    position_V: Index
    target_M: Index
    weight_M: npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class ClipMask:
    """The masks of one clip."""

    video: StreamMask
    audio: StreamMask


Arrange = Callable[[Index], Index]  # visible tokens in raster order -> in the order the encoder takes them


class Masker:
    """Draws the masks of clips for one model. Raises ValueError for ratios that do not fit its grids and regions."""

    def __init__(self, model: ModelConfig, masks: MaskConfig) -> None:
        geometry, self.masks = model.geometry, masks
        self.frames = geometry.frames
        self._video_grid, self._audio_grid = geometry.video_grid, geometry.audio_grid
        self._window, self._block = self._video_grid[1:], self._audio_grid
        self._arrange_video: Arrange = _as_it_is
        self._arrange_audio: Arrange = _as_it_is
        regional, consistent = model.encoder != "vit", masks.region_mask == "consistent"
        if regional and consistent:
            self._window = (model.video.region[1], model.video.region[2])
            self._block = (model.audio.region[0], model.audio.region[1])
            self._arrange_video = _by_region(self._video_grid, model.video.region)
            self._arrange_audio = _by_region(self._audio_grid, model.audio.region)
        self._window_masked = _masked("video_ratio", masks.video_ratio, self._window, regional and consistent)
        self._block_masked = _masked("audio_ratio", masks.audio_ratio, self._block, regional and consistent)
        if regional and not consistent:
            shown = math.prod(self._window) - self._window_masked
            self._arrange_video = _in_chunks(self._video_grid, model.video.region, shown, masks.video_ratio)
            shown, regions = math.prod(self._block) - self._block_masked, model.regions("audio")
            _check_shared("audio_ratio", masks.audio_ratio, math.prod(self._block), shown, regions)
        self._cells = running_cells(self._video_grid, masks.decoder_ratio) if masks.decoder_ratio else None

    def draw(self, random: np.random.Generator) -> ClipMask:
        """The masks of one clip; every number comes from `random`."""
        video_hidden = tube_mask(random, self._video_grid, self._window, self._window_masked)
        audio_hidden = block_mask(random, self._audio_grid, self._block, self._block_masked)
        if self._cells is None:
            return self.of_flags(video_hidden, audio_hidden, video_hidden, audio_hidden)
        dropped = int(self.masks.decoder_ratio * len(audio_hidden))
        audio_dropped = block_mask(random, self._audio_grid, self._audio_grid, dropped)
        video_kept = self._cells[random.integers(len(self._cells))]
        return self.of_flags(video_hidden, audio_hidden, video_kept, ~audio_dropped)

    def of_flags(self, video_hidden: Flags, audio_hidden: Flags, video_kept: Flags, audio_kept: Flags) -> ClipMask:
        """Given masks, (N,): hidden from the encoder, and kept for the decoder to reconstruct."""
        return ClipMask(
            video=self._stream(video_hidden, video_kept, self._arrange_video),
            audio=self._stream(audio_hidden, audio_kept, self._arrange_audio),
        )

    def _stream(self, hidden_N: Flags, kept_N: Flags, arrange: Arrange) -> StreamMask:
        raster, target = np.flatnonzero(~hidden_N), np.flatnonzero(kept_N)
        visible = arrange(raster)
        position = raster if self.masks.region_mask == "official" else visible
        return StreamMask(
            visible_V=visible, position_V=position, target_M=target, weight_M=hidden_N[target].astype(np.float32)
        )


def _as_it_is(visible_V: Index) -> Index:
    return visible_V


def _by_region(grid: tuple[int, ...], region: tuple[int, ...]) -> Arrange:
    """Sorted by the region a token lies in."""
    return partial(_sorted_by, np.argsort(region_order(grid, region)))


def _sorted_by(rank_N: Index, visible_V: Index) -> Index:
    return visible_V[np.argsort(rank_N[visible_V])]


def _in_chunks(grid: tuple[int, int, int], region: tuple[int, ...], shown: int, ratio: float) -> Arrange:
    """The authors' way: the visible tokens of each frame are cut, in raster order, into one part a region."""
    time, height, width = grid
    parts = height * width // (region[1] * region[2])
    _check_shared("video_ratio", ratio, height * width, shown, parts)
    order = np.arange(time * shown).reshape(time // region[0], region[0], parts, shown // parts)
    return partial(_taken_by, order.transpose(0, 2, 1, 3).ravel())


def _taken_by(order_V: Index, visible_V: Index) -> Index:
    return visible_V[order_V]


def _check_shared(field: str, ratio: float, tokens: int, shown: int, parts: int) -> None:
    if shown % parts:
        down, up = (tokens - n * parts for n in (shown // parts, shown // parts + 1))
        fitting = " or ".join(f"{masked / tokens:.6g}" for masked in sorted({up, down}) if 0 < masked < tokens)
        raise ValueError(
            f"{field} {ratio} leaves {shown} visible tokens, which {parts} regions cannot share; {fitting} would fit"
        )


def region_order(grid: tuple[int, ...], region: tuple[int, ...]) -> Index:
    """Raster indices of all tokens, region by region, raster inside each: (N,)."""
    index = np.arange(math.prod(grid)).reshape([n for g, r in zip(grid, region, strict=True) for n in (g // r, r)])
    outer, inner = range(0, 2 * len(grid), 2), range(1, 2 * len(grid), 2)
    return index.transpose([*outer, *inner]).ravel()


def shuffle_mask(random: RandomSource, shown: int, hidden: int) -> Flags:
    """`hidden` True and `shown` False in random order."""
    flags = np.concatenate((np.zeros(shown, bool), np.ones(hidden, bool)))
    random.shuffle(flags)
    return flags


def tube_mask(random: RandomSource, grid: tuple[int, int, int], window: tuple[int, int], masked: int) -> Flags:
    """The same `masked` places of each window in every frame: (N,). A window as large as the frame is a plain tube."""
    time, height, width = grid
    return np.tile(block_mask(random, (height, width), window, masked), time)


def block_mask(random: RandomSource, grid: tuple[int, int], block: tuple[int, int], masked: int) -> Flags:
    """`masked` places of each block of a two-dimensional grid: (N,)."""
    rows, columns = block
    flags = np.zeros(grid, bool)
    for top, left in itertools.product(range(0, grid[0], rows), range(0, grid[1], columns)):
        flags[top : top + rows, left : left + columns] = shuffle_mask(random, rows * columns - masked, masked).reshape(
            block
        )
    return flags.ravel()


def running_cells(grid: tuple[int, int, int], ratio: float) -> Flags:
    """The four maps of tokens to reconstruct, (4, N): a 2x2 cell whose pattern moves on each frame (VideoMAE v2)."""
    time, height, width = grid
    if height % 2 or width % 2:
        raise ValueError(f"decoder_ratio {ratio} needs an even token grid for its 2x2 cells, not {height}x{width}")
    queue = np.arange(4) >= int(4 * ratio)  # True: reconstructed
    maps = np.zeros((4, time, height, width), bool)
    for start, frame in itertools.product(range(4), range(time)):
        cell = queue[(np.arange(4) + start + frame + 1) % 4].reshape(2, 2)
        maps[start, frame] = np.tile(cell, (height // 2, width // 2))
    return maps.reshape(4, -1)


def _masked(field: str, ratio: float, block: tuple[int, ...], whole: bool) -> int:
    """Tokens of a block to mask. The authors cut to a whole number; in regions (`whole`) it must be one."""
    size = math.prod(block)
    masked = ratio * size
    count = round(masked) if abs(masked - round(masked)) < 1e-6 else int(masked)
    if not 0 < count < size or (whole and abs(masked - count) > 1e-6):
        fitting = " or ".join(f"{n / size:.6g}" for n in (int(masked), int(masked) + 1) if 0 < n < size)
        place = "x".join(map(str, block))
        raise ValueError(
            f"{field} {ratio} masks {masked:g} of the {size} tokens of a {place} region; {fitting} would fit"
        )
    return count
