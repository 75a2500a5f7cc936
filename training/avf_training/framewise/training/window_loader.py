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
from torch import Tensor

from avf_training.framewise.metrics import WholeNumbers
from avf_training.framewise.protocol import ProtocolOptions
from avf_training.framewise.training.frame_recipe import FrameRecipe
from avf_training.framewise.training.window_data import RowsOfVideo, cut_training_windows, predicted_positions


@dataclass(frozen=True, kw_only=True)
class WindowBatch:
    """Windows of one step."""

    number: int  # of the step: what is random in it depends on this and the seed
    streams: tuple[Tensor, ...]  # (B, T, D) of each extractor
    valid_BT: Tensor | None  # False for padding; None: there is none
    values_BSK: Tensor  # labels; nan where not valid
    hard: "WindowBatch | None" = None  # as many clips for the second branch of a fusion


class WindowLoader:
    """Endless batches; each epoch has every window once, but for those that fill no batch."""

    def __init__(
        self, videos: Sequence[RowsOfVideo], recipe: FrameRecipe, options: ProtocolOptions, device: torch.device
    ) -> None:
        """Cut the windows. Raises UserError where there is none."""
        self._videos, self._recipe, self._device = videos, recipe, device
        self._windows = [cut_training_windows(video, recipe, options) for video in videos]
        self._index = np.array(
            [(video, window) for video, cut in enumerate(self._windows) for window in range(len(cut.rows_VT))], np.int64
        ).reshape(-1, 2)
        if not len(self._index):
            rows = max(len(video.frames_N) for video in videos)
            raise UserError(
                f"no window of {recipe.window} rows without a gap fits into a training video; the longest has {rows} "
                "labelled rows; take a smaller window"
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
        """Return the windows of these numbers, in this order."""
        return self._make_batch(numbers)

    def __iter__(self) -> Iterator[WindowBatch]:
        """Yield batches from the current step on."""
        orders: tuple[WholeNumbers, ...] = ()
        drawn = -1
        while True:
            epoch, number = divmod(self._step, self.steps_per_epoch)
            if epoch != drawn:
                orders, drawn = self._draw_orders(epoch), epoch
            size = self.batch_windows
            batches = [self._make_batch(order[number * size : (number + 1) * size]) for order in orders]
            self._step += 1
            yield batches[0] if len(batches) == 1 else replace(batches[0], hard=batches[1])

    def _draw_orders(self, epoch: int) -> tuple[WholeNumbers, ...]:
        """Return the windows of an epoch in their order, and in a second order those of a second branch."""
        return (np.random.default_rng((self._recipe.seed, epoch)).permutation(len(self._index)),)

    def _make_batch(self, chosen: WholeNumbers) -> WindowBatch:
        streams: list[list[np.ndarray[Any, np.dtype[np.float32]]]] = [[] for _ in self._videos[0].streams]
        valid, values = [], []
        for video_number, window in self._index[chosen].tolist():
            video, cut = self._videos[video_number], self._windows[video_number]
            (rows_T,), (valid_T,) = cut.rows_VT[[window]], cut.valid_VT[[window]]
            for stream, parts in enumerate(streams):
                vectors_TD = video.read(stream, np.maximum(rows_T, 0))
                vectors_TD[~valid_T] = 0
                parts.append(vectors_TD)
            labels_TK = video.values_NK[np.maximum(rows_T, 0)].copy()
            labels_TK[~valid_T] = np.nan
            values.append(labels_TK[self._positions_S])
            valid.append(valid_T)
        valid_BT = np.stack(valid)
        return WindowBatch(
            number=self._step,
            streams=tuple(torch.from_numpy(np.stack(parts)).to(self._device) for parts in streams),
            valid_BT=None if valid_BT.all() else torch.from_numpy(valid_BT).to(self._device),
            values_BSK=torch.from_numpy(np.stack(values)).to(self._device),
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
