"""Counts of the clips that a stream delivered per source, beside their targets, and of the clips it could not read."""

import json
import logging
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from avf_shards.errors import FaultError, UserError
from avf_shards.sampling.stream_order import rank_steps
from avf_shards.system.named_writes import append_text

from avf_training.data.batch import ClipFault, StreamBatch
from avf_training.data.ordered_stream import OrderedStream

_TOLERATED_FAULTS = 10  # of a source: below this count a share says nothing, and the run goes on
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class SourceDelivery:
    """The clips of one source that all ranks delivered since the start of the stream."""

    source: str  # name of the corpus
    clips: int  # delivered, with repetitions
    seconds: float  # of model input: clips times the length of the model's window
    target: float  # the source's exact share of the clips delivered of all sources
    faults: int  # positions of this rank at which another clip replaced an unreadable one


def _check_writable(path: Path) -> None:
    """Raise UserError if a file cannot be written: at the start of a run, not hours later at the first fault."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with append_text(path):
            pass
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from None


class DeliveryTracker:
    """Counts the clips that this rank delivered.

    The stream order is a pure function of position, so the totals of all ranks follow without communication.
    """

    def __init__(
        self,
        stream: OrderedStream[Any],
        *,
        quarantine: Path | None = None,
        delivery_log: Path | None = None,
    ) -> None:
        """Check that the files can be written.

        Args:
            stream: the stream of this rank.
            quarantine: file for the unreadable clips, as JSON lines.
            delivery_log: file for the table of all sources, as JSON lines.
        """
        self.order, self.window_s, self.config = stream.order, stream.window_s, stream.config
        self.quarantine, self.delivery_log = quarantine, delivery_log
        self.noun = stream.noun
        for path in (quarantine, delivery_log):
            if path is not None:
                _check_writable(path)
        # Since the first start of the stream. Of a resumed stream: as counted by the rank that saved the checkpoint.
        self._delivered: Counter[str] = Counter()
        self._faults: Counter[str] = Counter()
        self._unchecked: Counter[str] = Counter()
        self._warned: set[tuple[str, str]] = set()  # shard and key of items of a stream that is scored
        self._unchecked_from = 0

    def start(self, position: int) -> None:
        """Begin to count this rank's deliveries at `position`."""
        self._unchecked.clear()
        self._unchecked_from = position

    def record_batch(self, batch: StreamBatch) -> None:
        """Count one batch of this rank. Raises FaultError with the table when a source has too many faults."""
        self._delivered.update(batch.sources)
        self._unchecked.update(batch.sources)
        # One position may meet several unreadable clips before a substitute can be read; it counts as one fault.
        faulty = {(fault.source, fault.epoch, fault.position) for fault in batch.faults}
        self._faults.update(source for source, _, _ in faulty)
        for fault in batch.faults:
            self._quarantine_clip(fault)
        over = [
            source
            for source, count in self._faults.items()
            if count >= _TOLERATED_FAULTS and count > self.config.max_fault_share * self._delivered[source]
        ]
        if over and not self.config.scored:
            rows = [
                f"  {name}: {count} of {self._delivered[name]} {self.noun}s"
                for name, count in sorted(self._faults.items())
            ]
            where = f"; each is in {self.quarantine}" if self.quarantine else ""
            raise FaultError(
                f"more than {self.config.max_fault_share:.1%} of {', '.join(over)} cannot be read{where}\n"
                + "\n".join(rows)
            )

    def _quarantine_clip(self, fault: ClipFault) -> None:
        if self.config.warns:
            self._warn(fault)
        if self.quarantine is not None:
            with append_text(self.quarantine) as file:
                file.write(json.dumps(asdict(fault), ensure_ascii=False) + "\n")

    def _warn(self, fault: ClipFault) -> None:
        if self.config.scored:  # in several views, say
            if (fault.shard, fault.key) in self._warned:
                return
            self._warned.add((fault.shard, fault.key))
        outcome = "it is left out" if self.config.scored else f"another {self.noun} replaces it"
        name = f"{self.noun} {fault.key}"
        log.warning("%s: %s cannot be read, %s: %s", fault.shard, name, outcome, fault.error)

    def per_source(self, delivered: int) -> list[SourceDelivery]:
        """Return what all ranks delivered of every source in the first `delivered` clips of the stream."""
        epochs, position = divmod(delivered, len(self.order))
        in_epoch = np.bincount(self.order.epoch(epochs).source_P[:position], minlength=len(self.order.quotas))
        rows = []
        for source, quota, begun in zip(self.order.corpus.sources, self.order.quotas, in_epoch, strict=True):
            clips = epochs * quota + int(begun)
            rows.append(
                SourceDelivery(
                    source=source.name,
                    clips=clips,
                    seconds=clips * self.window_s,
                    target=delivered * quota / len(self.order),
                    faults=self._faults[source.name],
                )
            )
        return rows

    def log_table(self, delivered: int) -> None:
        """Log the table of all sources after the first `delivered` clips of the stream."""
        rows, (epoch, position) = self.per_source(delivered), divmod(delivered, len(self.order))
        text = ", ".join(f"{row.source} {row.clips} of {row.target:.1f}" for row in rows)
        log.info("epoch %d, position %d: %s", epoch, position, text)
        if self.delivery_log is not None:
            line = {"epoch": epoch, "position": position, "sources": [asdict(row) for row in rows]}
            with append_text(self.delivery_log) as file:
                file.write(json.dumps(line, ensure_ascii=False) + "\n")

    def check_order(self, delivered: int, batch: int, world: int, rank: int) -> None:
        """Check that this rank's deliveries since the last check are those of the order. Raises FaultError."""
        expected: Counter[str] = Counter()
        steps = (delivered - self._unchecked_from) // batch
        for positions in rank_steps(self.order, self._unchecked_from, steps, batch=batch, world=world, rank=rank):
            _, sources = self.order.clips_between(positions.start, positions.stop)
            expected.update(self.order.corpus.sources[source].name for source in sources)
        if expected != self._unchecked:
            raise FaultError(f"delivered {dict(self._unchecked)}, but the order gave {dict(expected)}")
        self.start(delivered)

    def state_dict(self, delivered: int) -> dict[str, Any]:
        """Return what a checkpoint keeps: the clips of each source, and this rank's deliveries and faults."""
        return {
            "clips": {row.source: row.clips for row in self.per_source(delivered)},
            "delivered": dict(self._delivered),
            "faults": dict(self._faults),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue to count from a saved state."""
        self._delivered, self._faults = Counter(state["delivered"]), Counter(state["faults"])
