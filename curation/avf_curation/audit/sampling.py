"""Seeded random samples of a ledger's spans, in which every span is equally likely."""

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from avf_shards.format.run_folder import RunFolder
from avf_shards.sampling.hash_draw import priority
from avf_shards.schema.ledger import SCHEMA, Decision, table_to_decisions

KEPT = "kept"
_NAME_COLUMNS = ("source", "video_id", "start_frame", "status", "stage", "reason")


@dataclass(kw_only=True)
class SpanGroup:
    """The spans of one source with one verdict, and a random sample of them."""

    source: str  # name of the source
    verdict: str  # "kept" or "stage/reason"
    spans: int = 0  # in the ledger
    sample: list[Decision] = field(default_factory=list)  # in random order


def sample_rows(table: pa.Table, size: int, seed: int) -> list[Decision]:
    """Return `size` rows of a seeded random sample, in ledger order."""
    names = _span_names(table).to_pylist()
    order = sorted(range(len(names)), key=lambda row: priority(names[row], seed))
    chosen = sorted(order[:size])
    return table_to_decisions(table.take(pa.array(chosen, pa.int64())))


def sample_verdicts(run: RunFolder, size: int, seed: int) -> list[SpanGroup]:
    """Return a sample of at most `size` spans of each source and verdict, by source, kept spans first.

    The ledger is read twice, a batch at a time: first the names of all spans, then the rows of the sample.
    """
    groups: dict[tuple[str, str], SpanGroup] = {}
    best: dict[tuple[str, str], list[tuple[int, int]]] = {}  # the `size` rows of the least priority, as a heap
    for first_row, names, keys in _named_spans(run.ledger_batches(_NAME_COLUMNS)):
        for offset, (name, source, verdict) in enumerate(zip(names, *keys, strict=True)):
            if verdict is None:
                continue
            group = groups.setdefault((source, verdict), SpanGroup(source=source, verdict=verdict))
            group.spans += 1
            heap = best.setdefault((source, verdict), [])
            entry = (-int.from_bytes(priority(name, seed), "big"), first_row + offset)
            if len(heap) < size:
                heapq.heappush(heap, entry)
            elif heap and entry > heap[0]:
                heapq.heapreplace(heap, entry)
    rows = {row: key for key, heap in best.items() for _, row in heap}
    decisions = _rows_at(run, sorted(rows))
    for key, heap in best.items():
        groups[key].sample = [decisions[row] for _, row in sorted(heap, reverse=True)]
    return sorted(groups.values(), key=lambda group: (group.source, group.verdict != KEPT, group.verdict))


def _named_spans(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[int, list[str], tuple[list[str], list[str]]]]:
    """Yield (number of the first row, names of the spans, (sources, verdicts)); a failed span has the verdict None."""
    first_row = 0
    for batch in batches:
        reason = pc.binary_join_element_wise(batch["stage"], batch["reason"], "/")
        rejected = pc.if_else(pc.equal(batch["status"], "rejected"), reason, pa.scalar(None, pa.string()))
        verdict = pc.if_else(pc.equal(batch["status"], KEPT), KEPT, rejected)
        yield first_row, _span_names(batch).to_pylist(), (batch["source"].to_pylist(), verdict.to_pylist())
        first_row += batch.num_rows


def _span_names(rows: pa.Table | pa.RecordBatch) -> pa.Array:
    return pc.binary_join_element_wise(
        rows["source"], rows["video_id"], pc.cast(rows["start_frame"], pa.string()), "\0"
    )


def _rows_at(run: RunFolder, rows: list[int]) -> dict[int, Decision]:
    """Return the decisions at these rows of the ledger, which are sorted."""
    decisions: dict[int, Decision] = {}
    positions = np.array(rows, np.int64)
    first_row = 0
    for batch in run.ledger_batches(SCHEMA.names):
        low, high = np.searchsorted(positions, (first_row, first_row + batch.num_rows))
        chosen = positions[low:high]
        if len(chosen):
            table = pa.Table.from_batches([batch.take(pa.array(chosen - first_row))])
            decisions.update(zip(chosen.tolist(), table_to_decisions(table), strict=True))
        first_row += batch.num_rows
    return decisions
