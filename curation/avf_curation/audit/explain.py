"""The decisions on one video."""

import difflib

import pyarrow as pa
import pyarrow.compute as pc
from avf_shards.errors import UserError
from avf_shards.schema.ledger import Decision, table_to_decisions


def find_video(table: pa.Table, name: str) -> list[Decision]:
    """Return the decisions of the video `name` (an id or SOURCE/id) in the order of their spans.

    Raises:
        UserError: there is no such video (the message lists similar names), or several sources have such a video.
    """
    full = pc.binary_join_element_wise(table["source"], table["video_id"], "/")
    rows = table.filter(pc.or_(pc.equal(table["video_id"], name), pc.equal(full, name)))
    decisions = table_to_decisions(rows)
    videos = sorted({(d.source, d.video_id) for d in decisions})
    if len(videos) == 1:
        return sorted(decisions, key=lambda d: d.span)
    if videos:
        raise UserError(
            f"{name!r} is in several sources; write one of {', '.join('/'.join(video) for video in videos)}"
        )
    known = pc.unique(table["video_id"]).to_pylist()[:100_000]
    similar = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    hint = f"; similar names: {', '.join(similar)}" if similar else ""
    raise UserError(f"{name!r}: no such video in this run{hint}")
