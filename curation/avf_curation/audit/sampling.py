"""Seeded random samples of a ledger's spans, in which every span is equally likely."""

import pyarrow as pa
import pyarrow.compute as pc
from avf_shards.sampling.hash_draw import priority
from avf_shards.schema.ledger import Decision, table_to_decisions


def sample_rows(table: pa.Table, size: int, seed: int) -> list[Decision]:
    """Return `size` rows of a seeded random sample, in ledger order."""
    names = pc.binary_join_element_wise(
        table["source"], table["video_id"], pc.cast(table["start_frame"], pa.string()), "\0"
    ).to_pylist()
    order = sorted(range(len(names)), key=lambda row: priority(names[row], seed))
    chosen = sorted(order[:size])
    return table_to_decisions(table.take(pa.array(chosen, pa.int64())))
