"""The decisions on one video."""

import difflib

import pyarrow as pa
import pyarrow.compute as pc
from avf_shards.errors import UserError
from avf_shards.schema.ledger import Decision, table_to_decisions


def find_video(table: pa.Table, wanted: str) -> list[Decision]:
    """Return the decisions of the video `wanted`, an id or SOURCE/id, in the order of their spans.

    Raises:
        UserError: there is no such video (the message has the nearest names), or several sources have one.
    """
    full = pc.binary_join_element_wise(table["source"], table["video_id"], "/")
    rows = table.filter(pc.or_(pc.equal(table["video_id"], wanted), pc.equal(full, wanted)))
    decisions = table_to_decisions(rows)
    names = sorted({(d.source, d.video_id) for d in decisions})
    if len(names) == 1:
        return sorted(decisions, key=lambda d: d.span)
    if names:
        raise UserError(f"{wanted!r} is in several sources; write one of {', '.join('/'.join(n) for n in names)}")
    known = pc.unique(table["video_id"]).to_pylist()[:100_000]
    near = difflib.get_close_matches(wanted, known, n=3, cutoff=0.4)
    hint = f"; similar names: {', '.join(near)}" if near else ""
    raise UserError(f"{wanted!r}: no such video in this run{hint}")
