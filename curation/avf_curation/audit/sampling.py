"""Seeded samples of a ledger's spans: a lot depends on the seed and the span alone, so each is as likely as any."""

import hashlib

import pyarrow as pa
import pyarrow.compute as pc
from avf_shards.schema.ledger import Decision, table_to_decisions


def sample_rows(table: pa.Table, size: int, seed: int) -> list[Decision]:
    """`size` rows by lot, in ledger order."""
    names = pc.binary_join_element_wise(
        table["source"], table["video"], pc.cast(table["start_frame"], pa.string()), "\0"
    ).to_pylist()
    lots = [hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=8).digest() for name in names]
    chosen = sorted(sorted(range(len(lots)), key=lots.__getitem__)[:size])
    return table_to_decisions(table.take(pa.array(chosen, pa.int64())))
