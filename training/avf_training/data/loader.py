"""Batches for one rank, with a state that fits any other world (torch's Stateful protocol)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from avf_shards.errors import UserError
from torch.utils.data import DataLoader

from avf_training.data.account import Account, Line
from avf_training.data.stream import Batch, PretrainingClips, StreamConfig
from avf_training.masking import MaskConfig
from avf_training.models.config import ModelConfig


class PretrainingLoader:
    """Iterate for batches; `state_dict` says where the stream stands after the last batch given.

    The state is (digest, epoch, position): any world size and number of workers goes on from it with the same clips,
    windows, crops and masks. quarantine: JSON lines of unreadable clips.
    """

    def __init__(
        self,
        config: StreamConfig,
        model: ModelConfig,
        masks: MaskConfig,
        world: int = 1,
        rank: int = 0,
        workers: int = 0,
        quarantine: Path | None = None,
    ) -> None:
        self.config, self.world, self.rank, self.workers = config, world, rank, workers
        self.clips = PretrainingClips(config, model, masks, world, rank)
        self.account = Account(self.clips.order, quarantine, config.max_fault_share)
        self._start = self._next = 0

    def __iter__(self) -> Iterator[Batch]:
        self._start = self.clips.start = self._next
        self.account.mine.clear()
        loader = DataLoader(
            self.clips,
            batch_size=None,
            num_workers=self.workers,
            prefetch_factor=2 if self.workers else None,
            pin_memory=torch.cuda.is_available(),
            worker_init_fn=_one_thread,
        )
        size = len(self.clips.order)
        for batch in loader:
            self.account.deliver(batch)
            before, self._next = self._next, self._next + self.config.batch
            if before // size != self._next // size:
                self.account.check(self._start, self._next, self.config.batch, self.world, self.rank)
            yield batch

    def delivered(self) -> list[Line]:
        """Per source, what the stream has given to all ranks so far."""
        return self.account.lines(self._next)

    def state_dict(self) -> dict[str, Any]:
        """Where the stream goes on, and what it has delivered."""
        epoch, position = divmod(self._next, len(self.clips.order))
        clips = {line.source: line.clips for line in self.delivered()}
        faults = dict(self.account.faults)
        return {
            "digest": self.clips.order.digest,
            "epoch": epoch,
            "position": position,
            "clips": clips,
            "faults": faults,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state of any world. Raises UserError for one of other shards, mix or seed."""
        order = self.clips.order
        if state["digest"] != order.digest:
            raise UserError(
                f"the state is of another stream ({state['digest'][:12]}, not {order.digest[:12]}): "
                "shards, mix and seed must be the same to go on"
            )
        self._next = int(state["epoch"]) * len(order) + int(state["position"])
        self.account.faults.update(state["faults"])


def _one_thread(worker: int) -> None:
    torch.set_num_threads(1)
