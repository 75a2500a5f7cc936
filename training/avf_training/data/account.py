"""What a stream delivered, per source, beside its target, and the clips it could not read."""

import json
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from avf_shards.errors import FaultError
from avf_shards.order import Order

from avf_training.data.stream import Batch, Fault

WINDOW_S = 2.56  # 16 frames at stride 4, 25 fps
_FEW = 10  # faults of a source that stop nothing


@dataclass(frozen=True)
class Line:
    """One source. clips: delivered by all ranks up to here; target: its exact share of as many clips.

    faults: positions of this rank where another clip stood in for an unreadable one.
    """

    source: str
    clips: int
    seconds: float
    target: float
    faults: int


class Account:
    """Counts what this rank delivered, and answers for the whole world: by the order, positions decide it."""

    def __init__(self, order: Order, quarantine: Path | None, max_fault_share: float) -> None:
        self.order, self.quarantine, self.max_fault_share = order, quarantine, max_fault_share
        self.mine: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()

    def deliver(self, batch: Batch) -> None:
        """Note one batch of this rank. Raises FaultError with the table when a source has too many faults."""
        self.mine.update(batch.sources)
        self.faults.update(source for source, _ in {(fault.source, fault.position) for fault in batch.faults})
        for fault in batch.faults:
            self._quarantined(fault)
        over = [
            source
            for source, count in self.faults.items()
            if count >= _FEW and count > self.max_fault_share * self.mine[source]
        ]
        if over:
            rows = [f"  {name}: {self.faults[name]} of {self.mine[name]} clips" for name in sorted(self.faults)]
            where = f"; each is in {self.quarantine}" if self.quarantine else ""
            raise FaultError(
                f"more than {self.max_fault_share:.1%} of {', '.join(over)} cannot be read{where}\n" + "\n".join(rows)
            )

    def _quarantined(self, fault: Fault) -> None:
        if self.quarantine is not None:
            with open(self.quarantine, "a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(fault), ensure_ascii=False) + "\n")

    def lines(self, upto: int) -> list[Line]:
        """Every source after the first `upto` clips of the stream."""
        epochs, position = divmod(upto, len(self.order))
        inside = np.bincount(self.order.epoch(epochs).source_P[:position], minlength=len(self.order.quotas))
        found = []
        for source, quota, more in zip(self.order.corpus.sources, self.order.quotas, inside, strict=True):
            clips = epochs * quota + int(more)
            target = upto * quota / len(self.order)
            found.append(Line(source.name, clips, clips * WINDOW_S, target, self.faults[source.name]))
        return found

    def check(self, start: int, upto: int, batch: int, world: int, rank: int) -> None:
        """What this rank delivered from `start` to `upto` is what the order gave it. Raises FaultError."""
        mine = batch // world
        wanted: Counter[str] = Counter()
        for first in range(start + rank * mine, upto, batch):
            _, sources = self.order.at(first, first + mine)
            wanted.update(self.order.corpus.sources[source].name for source in sources)
        if wanted != self.mine:
            raise FaultError(f"delivered {dict(self.mine)}, but the order gave {dict(wanted)}")
