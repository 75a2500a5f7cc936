"""What a denylist forbids of a ledger, by video, speaker, span and content."""

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from avf_shards.format.denylist import Denial, Denylist, deny_content
from avf_shards.schema.ledger import RANGE_COLUMNS
from avf_shards.timeline import FRAMES_PER_SECOND, Span

INPUT_COLUMNS = ("source", "video_id", "speaker", "input_sha256", "start_frame", "stop_frame", *RANGE_COLUMNS)
"""Columns of a ledger that tell what a denylist forbids."""

_ALL = Span(0, 1 << 62)
_EMPTY_FILE = hashlib.sha256(b"").hexdigest()  # broken downloads are no copies of each other


@dataclass(frozen=True, kw_only=True)
class InputSpan:
    """A span of an input: what a row of a ledger or the record of a clip tells of it."""

    source: str  # name of the source
    video_id: str  # unique within the source
    speaker: str | None  # as the corpus names the person
    sha256: str | None  # of the input
    span: Span  # on the timeline of the input
    file_sha256: str | None = None  # of the files without the range; None: the input is whole files
    file_span: Span | None = None  # `span` on the timeline of the files
    extent: Span | None = None  # of the whole input on that timeline

    def match(self, denylist: Denylist) -> Iterator[Denial]:
        """Yield the entries that forbid the row's span."""
        yield from denylist.match_input(
            self.source, self.video_id, speaker=self.speaker, sha256=[self.sha256], span=self.span
        )
        yield from denylist.match_files([self.file_sha256], self.file_span)

    def follow(self, denial: Denial) -> Iterator[Denial]:
        """Yield the entries of content that follow from an entry that forbids the span."""
        if self.sha256 is None or self.sha256 == _EMPTY_FILE:
            return
        if denial.kind == "content":
            # Shards may not know of which file this is a range.
            if denial.digest == self.file_sha256 and self.span.frames:
                yield deny_content(self.sha256, denial.date, denial.reason, self.span)
            return
        yield deny_content(self.sha256, denial.date, denial.reason, denial.span)
        forbidden = self.extent if denial.span is None else self.file_span
        if self.file_sha256 is not None and forbidden is not None and forbidden.frames:
            yield deny_content(self.file_sha256, denial.date, denial.reason, forbidden)


def is_time_range(start_s: float | None, stop_s: float | None) -> bool:
    """Return whether two times are the limits of a range; a forged ledger may have any."""
    return start_s is not None and stop_s is not None and 0 <= start_s <= stop_s < math.inf


def shift_span(span: Span, start_s: float) -> Span:
    """Return a span of a range on the timeline of the file, in which the range begins at `start_s`.

    The last frame is left out where there are several: ranges that follow each other begin within a frame, and are no
    twins because they share it.
    """
    start = round(start_s * FRAMES_PER_SECOND) + span.start_frame
    return Span(start, start + max(min(1, span.frames), span.frames - 1))


def content_denials(table: pa.Table, denylist: Denylist) -> Denylist:
    """Return entries that forbid the bytes of what the denylist names, as far as a ledger knows their digest.

    An input that is a range forbids its part of the file, and then every other range that overlaps it. Not the bytes
    of inputs that failed: a page that says "unavailable" under many names is nobody's video.
    """
    decided = table.filter(pc.not_equal(table["status"], "failed"))
    denials = Denylist(denials=tuple(_content_denials(decided, denylist)))
    if "file_sha256" in decided.column_names and decided["file_sha256"].null_count < decided.num_rows:
        denials |= Denylist(denials=tuple(_content_denials(decided, denylist | denials)))
    return denials


def _content_denials(table: pa.Table, denylist: Denylist) -> Iterator[Denial]:
    for row in _rows(table):
        for denial in row.match(denylist):
            yield from row.follow(denial)


def known_denials(table: pa.Table, denylist: Denylist) -> set[Denial]:
    """Return the entries that name a video, a speaker or the content of a row of a ledger or a plan.

    A span counts as known where its video is: it may have been cut in another way.
    """
    names = ("source", "video_id", "speaker", "input_sha256", "file_sha256")
    columns = [table[name].to_pylist() if name in table.column_names else [None] * table.num_rows for name in names]
    known: set[Denial] = set()
    for source, video_id, speaker, sha256, file_sha256 in set(zip(*columns, strict=True)):
        row = InputSpan(
            source=source,
            video_id=video_id,
            speaker=speaker,
            sha256=sha256,
            span=_ALL,
            file_sha256=file_sha256,
            file_span=_ALL,
        )
        known.update(row.match(denylist))
    return known


def denied_rows(table: pa.Table, denylist: Denylist) -> list[bool]:
    """Return for each row of a ledger whether the denylist forbids it."""
    return [any(True for _ in row.match(denylist)) for row in _rows(table)]


def _rows(table: pa.Table) -> Iterator[InputSpan]:
    columns = [
        table[name].to_pylist() if name in table.column_names else [None] * table.num_rows for name in INPUT_COLUMNS
    ]
    for source, video_id, speaker, sha256, start, stop, file_sha256, start_s, stop_s in zip(*columns, strict=True):
        span, is_range = Span(start, stop), file_sha256 is not None and is_time_range(start_s, stop_s)
        yield InputSpan(
            source=source,
            video_id=video_id,
            speaker=speaker,
            sha256=sha256,
            span=span,
            file_sha256=file_sha256 if is_range else None,
            file_span=shift_span(span, start_s) if is_range else None,
            extent=shift_span(Span(0, round((stop_s - start_s) * FRAMES_PER_SECOND)), start_s) if is_range else None,
        )
