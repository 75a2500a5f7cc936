"""What a stream delivered, per source, beside its target, and the clips it could not read."""

import json
import logging
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from avf_shards.errors import FaultError, UserError
from avf_shards.sampling.stream_order import EpochwiseOrder, rank_steps

from avf_training.data.batch import Batch, ClipFault

WINDOW_S = 2.56  # 16 frames at stride 4, 25 fps
_FEW = 10  # faults of a source that stop nothing
log = logging.getLogger("avf_training.stream")


@dataclass(frozen=True, kw_only=True)
class SourceDelivery:
    """One source. clips: delivered by all ranks up to here; target: its exact share of as many clips.

    seconds: of model input, 2.56 a clip. faults: positions of this rank where another clip stood in for an unreadable
    one.
    """

    source: str
    clips: int
    seconds: float
    target: float
    faults: int


def _check_writable(path: Path) -> None:
    """Say now, and not at the first fault, that a file cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.open("a").close()
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from None


class DeliveryTracker:
    """Counts what this rank delivered, and answers for the whole world: by the order, positions decide it.

    quarantine: JSON lines of unreadable clips. log: JSON lines of the table.
    """

    def __init__(
        self, order: EpochwiseOrder, max_fault_share: float, quarantine: Path | None, log: Path | None
    ) -> None:
        self.order, self.max_fault_share = order, max_fault_share
        self.quarantine, self.log = quarantine, log
        for path in (quarantine, log):
            if path is not None:
                _check_writable(path)
        self._delivered: Counter[str] = Counter()  # since the first start of the stream, by the rank that saved
        self._faults: Counter[str] = Counter()
        self._unchecked: Counter[str] = Counter()
        self._unchecked_from = 0

    def start(self, position: int) -> None:
        """From here on this rank delivers."""
        self._unchecked.clear()
        self._unchecked_from = position

    def deliver(self, batch: Batch) -> None:
        """Note one batch of this rank. Raises FaultError with the table when a source has too many faults."""
        self._delivered.update(batch.sources)
        self._unchecked.update(batch.sources)
        faulty = {(fault.source, fault.epoch, fault.position) for fault in batch.faults}
        self._faults.update(source for source, _, _ in faulty)
        for fault in batch.faults:
            self._quarantined(fault)
        over = [
            source
            for source, count in self._faults.items()
            if count >= _FEW and count > self.max_fault_share * self._delivered[source]
        ]
        if over:
            rows = [f"  {name}: {self._faults[name]} of {self._delivered[name]} clips" for name in sorted(self._faults)]
            where = f"; each is in {self.quarantine}" if self.quarantine else ""
            raise FaultError(
                f"more than {self.max_fault_share:.1%} of {', '.join(over)} cannot be read{where}\n" + "\n".join(rows)
            )

    def _quarantined(self, fault: ClipFault) -> None:
        log.warning("%s: clip %s cannot be read, another stands in for it: %s", fault.shard, fault.key, fault.error)
        if self.quarantine is not None:
            with open(self.quarantine, "a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(fault), ensure_ascii=False) + "\n")

    def lines(self, upto: int) -> list[SourceDelivery]:
        """Every source after the first `upto` clips of the stream."""
        epochs, position = divmod(upto, len(self.order))
        inside = np.bincount(self.order.epoch(epochs).source_P[:position], minlength=len(self.order.quotas))
        found = []
        for source, quota, more in zip(self.order.corpus.sources, self.order.quotas, inside, strict=True):
            clips = epochs * quota + int(more)
            target = upto * quota / len(self.order)
            found.append(
                SourceDelivery(
                    source=source.name,
                    clips=clips,
                    seconds=clips * WINDOW_S,
                    target=target,
                    faults=self._faults[source.name],
                )
            )
        return found

    def write(self, upto: int) -> None:
        """Log the table after the first `upto` clips of the stream."""
        lines, (epoch, position) = self.lines(upto), divmod(upto, len(self.order))
        told = ", ".join(f"{line.source} {line.clips} of {line.target:.1f}" for line in lines)
        log.info("epoch %d, position %d: %s", epoch, position, told)
        if self.log is not None:
            row = {"epoch": epoch, "position": position, "sources": [asdict(line) for line in lines]}
            with open(self.log, "a", encoding="utf-8") as file:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")

    def check(self, upto: int, batch: int, world: int, rank: int) -> None:
        """What this rank delivered since the last check is what the order gave it. Raises FaultError."""
        wanted: Counter[str] = Counter()
        for mine in rank_steps(
            self.order,
            self._unchecked_from,
            (upto - self._unchecked_from) // batch,
            batch=batch,
            world=world,
            rank=rank,
        ):
            _, sources = self.order.at(mine.start, mine.stop)
            wanted.update(self.order.corpus.sources[source].name for source in sources)
        if wanted != self._unchecked:
            raise FaultError(f"delivered {dict(self._unchecked)}, but the order gave {dict(wanted)}")
        self.start(upto)

    def state(self, upto: int) -> dict[str, Any]:
        """What a checkpoint keeps: the table, and this rank's faults among what it delivered."""
        return {
            "clips": {line.source: line.clips for line in self.lines(upto)},
            "delivered": dict(self._delivered),
            "faults": dict(self._faults),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go on counting from `state`."""
        self._delivered, self._faults = Counter(state["delivered"]), Counter(state["faults"])
