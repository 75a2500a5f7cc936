"""What a denylist forbids of a ledger, by video, speaker, span and content."""

import hashlib
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from avf_shards.format.denylist import Denial, Denylist, deny_content
from avf_shards.timeline import Span

_ALL = Span(0, 1 << 62)
_EMPTY_FILE = hashlib.sha256(b"").hexdigest()  # broken downloads are no copies of each other
_Input = tuple[str, str, str | None, str | None, Span]


def content_denials(table: pa.Table, denylist: Denylist) -> Denylist:
    """Return entries that forbid the bytes of what the denylist names, as far as a ledger knows their digest.

    Not the bytes of inputs that failed: a page that says "unavailable" under many names is nobody's video.
    """
    denials = []
    for row in _inputs(table.filter(pc.not_equal(table["status"], "failed"))):
        *_, sha256, _ = row
        for denial in _match(denylist, row):
            if sha256 not in (None, _EMPTY_FILE) and denial.kind != "content":
                denials.append(deny_content(sha256, denial.date, denial.reason, denial.span))
    return Denylist(denials=tuple(dict.fromkeys(denials)))


def known_denials(table: pa.Table, denylist: Denylist) -> set[Denial]:
    """Return the entries that name a video, a speaker or the content of a row of a ledger or a plan.

    A span counts as known where its video is: it may have been cut in another way.
    """
    columns = [table[name].to_pylist() for name in ("source", "video_id", "speaker")]
    digests = table["input_sha256"].to_pylist() if "input_sha256" in table.column_names else [None] * table.num_rows
    known: set[Denial] = set()
    for row in set(zip(*columns, digests, strict=True)):
        known.update(_match(denylist, (*row, _ALL)))
    return known


def denied_rows(table: pa.Table, denylist: Denylist) -> list[bool]:
    """Return for each row of a ledger whether the denylist forbids it."""
    return [any(True for _ in _match(denylist, row)) for row in _inputs(table)]


def _inputs(table: pa.Table) -> Iterator[_Input]:
    """Yield source, video id, speaker, digest of the input and span of each row of a ledger."""
    names = ("source", "video_id", "speaker", "input_sha256", "start_frame", "stop_frame")
    for source, video_id, speaker, sha256, start, stop in zip(*(table[n].to_pylist() for n in names), strict=True):
        yield source, video_id, speaker, sha256, Span(start, stop)


def _match(denylist: Denylist, row: _Input) -> Iterator[Denial]:
    source, video_id, speaker, sha256, span = row
    return denylist.match_input(source, video_id, speaker=speaker, sha256=[sha256], span=span)
