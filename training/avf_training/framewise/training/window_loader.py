"""Batches of training windows in an order drawn by the seed and the epoch; their position is the loader's state.

Shapes: B windows, T rows, S labels of a window, D values of a stream, K label columns.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from avf_shards.errors import UserError
from avf_shards.text import count_noun
from torch import Tensor

from avf_training.distributed.environment import ALONE, WorldSize
from avf_training.framewise.metrics import WholeNumbers
from avf_training.framewise.protocol import ProtocolOptions
from avf_training.framewise.training.frame_recipe import FrameRecipe
from avf_training.framewise.training.window_data import RowsOfVideo, cut_training_windows, predicted_positions


@dataclass(frozen=True, kw_only=True)
class WindowBatch:
    """Windows of one step."""

    number: int  # of the step: what is random in it depends on this, the seed and the part of the batch
    parts: range  # of the batch that this process computes, by their numbers in the whole one
    streams: tuple[Tensor, ...]  # (B, T, D) of each extractor, of this process
    valid_BT: Tensor | None  # False for padding; None: there is none
    values_GSK: Tensor  # labels of the windows of all processes; nan where not valid
    padded_GS: Tensor  # whether the label is that of a padding row
    hard: "WindowBatch | None" = None  # as many clips for the second branch of a fusion


class WindowLoader:
    """Endless batches; each epoch has every window once, but for those that fill no batch."""

    def __init__(
        self,
        videos: Sequence[RowsOfVideo],
        recipe: FrameRecipe,
        options: ProtocolOptions,
        device: torch.device,
        process: WorldSize = ALONE,
    ) -> None:
        """Cut the windows. Raises UserError where there is none. `process`: of those that share each batch."""
        self._videos, self._recipe, self._device, self._process = videos, recipe, device, process
        self._windows = [cut_training_windows(video, recipe, options) for video in videos]
        self._index = np.array(
            [(video, window) for video, cut in enumerate(self._windows) for window in range(len(cut.rows_VT))], np.int64
        ).reshape(-1, 2)
        if not len(self._index):
            rows = max(len(video.frames_N) for video in videos)
            raise UserError(
                f"no window of {recipe.window} rows without a gap fits into a training video; the longest has "
                f"{count_noun(rows, 'labelled row')}; take a smaller window"
            )
        self._positions_S = predicted_positions(recipe.model, recipe.window)
        self._step = 0

    def __len__(self) -> int:
        return len(self._index)

    @property
    def steps_per_epoch(self) -> int:
        """Return the batches of an epoch."""
        return max(1, len(self._index) // self.batch_windows)

    @property
    def batch_windows(self) -> int:
        """Return the windows of a batch: fewer than the recipe's where an epoch has fewer."""
        return min(self._recipe.batch, len(self._index))

    def read_windows(self, numbers: WholeNumbers) -> WindowBatch:
        """Return the windows of these numbers, in this order, as one process reads them."""
        return self._make_batch(numbers, range(1), slice(0, len(numbers)))

    def __iter__(self) -> Iterator[WindowBatch]:
        """Yield batches from the current step on."""
        size = self.batch_windows
        parts = self._recipe.parts(size, self._process.size)
        first = parts * self._process.rank // self._process.size
        own = range(first, first + parts // self._process.size)
        share = slice(own.start * size // parts, own.stop * size // parts)
        orders: tuple[WholeNumbers, ...] = ()
        drawn = -1
        while True:
            epoch, number = divmod(self._step, self.steps_per_epoch)
            if epoch != drawn:
                orders, drawn = self._draw_orders(epoch), epoch
            chosen = slice(number * size, (number + 1) * size)
            batches = [self._make_batch(order[chosen], own, share) for order in orders]
            self._step += 1
            yield batches[0] if len(batches) == 1 else replace(batches[0], hard=batches[1])

    def _draw_orders(self, epoch: int) -> tuple[WholeNumbers, ...]:
        """Return the windows of an epoch in their order, and in a second order those of a second branch."""
        return (np.random.default_rng((self._recipe.seed, epoch)).permutation(len(self._index)),)

    def _make_batch(self, chosen: WholeNumbers, parts: range, share: slice) -> WindowBatch:
        streams: list[list[np.ndarray[Any, np.dtype[np.float32]]]] = [[] for _ in self._videos[0].streams]
        valid, values = [], []
        own = range(len(chosen))[share]
        for position, (video_number, window) in enumerate(self._index[chosen].tolist()):
            video, cut = self._videos[video_number], self._windows[video_number]
            (rows_T,), (valid_T,) = cut.rows_VT[[window]], cut.valid_VT[[window]]
            for stream, vectors in enumerate(streams if position in own else ()):
                vectors_TD = video.read(stream, np.maximum(rows_T, 0))
                vectors_TD[~valid_T] = 0
                vectors.append(vectors_TD)
            labels_TK = video.values_NK[np.maximum(rows_T, 0)].copy()
            labels_TK[~valid_T] = np.nan
            values.append(labels_TK[self._positions_S])
            valid.append(valid_T)
        valid_GT = np.stack(valid)
        # Whether a mask is given depends on the whole batch, so that all processes compute alike.
        has_padding = not valid_GT.all()
        return WindowBatch(
            number=self._step,
            parts=parts,
            streams=tuple(torch.from_numpy(np.stack(vectors)).to(self._device) for vectors in streams),
            valid_BT=torch.from_numpy(valid_GT[share]).to(self._device) if has_padding else None,
            values_GSK=torch.from_numpy(np.stack(values)).to(self._device),
            padded_GS=torch.from_numpy(~valid_GT[:, self._positions_S]).to(self._device),
        )

    def digest(self) -> str:
        """Return the SHA-256 of all windows: videos, frames, labels and features."""
        sha = hashlib.sha256()
        for video, cut in zip(self._videos, self._windows, strict=True):
            sha.update(str(video.labels.subject).encode())
            for array in (video.frames_N, video.values_NK, cut.rows_VT, *video.read_all()):
                sha.update(np.ascontiguousarray(array).tobytes())
        return sha.hexdigest()

    def state_dict(self) -> dict[str, Any]:
        """Return the step from which the loader continues."""
        return {"windows": len(self._index), "step": self._step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state. Raises UserError for one of other windows."""
        if state.get("windows") != len(self._index):
            raise UserError(
                f"the checkpoint is of {state.get('windows')} training windows, and there are {len(self._index)}; "
                "train in another folder"
            )
        self._step = int(state["step"])
