"""The ledger: every decision of a run, as Parquet.

A decision is the end of a span. Its checks keep every score that was compared, with operator and threshold, so that a
threshold can be changed later over a finished ledger without touching video.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from avf_shards.errors import FaultError
from avf_shards.schema.fields import Fields
from avf_shards.schema.versions import encode_parquet, read_parquet, translate_parquet_errors, versioned_schema
from avf_shards.text import load_json
from avf_shards.timeline import Span

Status = Literal["kept", "rejected", "failed"]
Operator = Literal["<=", ">="]

TAKEDOWN = "takedown"
"""The stage of the rows that say that a span was deleted after the run."""

SCORE_DECIMALS = 4
"""Scores are rounded to this many decimals before they are compared, so that the ledger's figures give its verdicts."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """One comparison of a stage on a span: the span passes when `score operator threshold` holds."""

    stage: str  # that measured the score, as "sync"
    reason: str  # of the rejection if the check fails, as "low_confidence"
    score: float | None  # rounded; None: the stage could not tell (span too short, too little motion), no verdict
    operator: Operator  # between score and threshold in a span that passes
    threshold: float  # in the unit of the score
    setting: str | None = None  # the recipe's setting that the threshold comes from, as "quality.min_sharpness"

    def __post_init__(self) -> None:
        if self.score is not None:
            object.__setattr__(self, "score", round(float(self.score), SCORE_DECIMALS))

    @property
    def passed(self) -> bool | None:
        """True, False, or None where the stage could not tell."""
        if self.score is None:
            return None
        return not self.fails(self.threshold)

    def fails(self, limit: float) -> bool:
        """Return whether the score fails this limit; a score of None fails no limit."""
        if self.score is None:
            return False
        return self.score > limit if self.operator == "<=" else self.score < limit


@dataclass(frozen=True, kw_only=True)
class Decision:
    """The verdict on one span of one video: a row of the ledger."""

    source: str  # name of the corpus or folder that the video belongs to
    video_id: str  # unique within the source
    group_id: str  # videos of one recording share it
    path: str  # of the input, relative to the folder of its source
    span: Span  # on the 25 fps timeline of the video
    status: Status  # kept: it has clips; rejected: a check failed; failed: it could not be decided
    stage: str | None = None  # that rejected the span or failed
    reason: str | None = None  # of the failing check, as are score, operator and threshold
    score: float | None = None  # None for a span that was kept or that failed
    operator: str | None = None  # "<=" or ">=", between score and threshold in a span that passes
    threshold: float | None = None  # in the unit of the score
    error: str | None = None  # kind of a failure
    message: str | None = None  # of a failure, for people
    input_bytes: int = 0  # size of the input file
    input_sha256: str | None = None  # of the input file, in hexadecimal digits; None: it could not be read
    #: Of the files without the range, where the input is a range of them; None: the input is whole files.
    file_sha256: str | None = None
    start_s: float | None = None  # of the range in its file; None: the input is whole files
    stop_s: float | None = None  # of the range in its file
    speaker: str | None = None  # as the corpus names the person; None where it does not
    language: str | None = None  # as the source says; None where it does not
    unit: int = 0  # in which the video was decided
    attempt: int = 0  # 0: first run; each retry and each deletion adds one
    clips: tuple[str, ...] = ()  # keys of the clips of a kept span, one for each person
    checks: tuple[Check, ...] = ()  # every comparison that was made, in the order of the stages
    measurements: str = "{}"  # JSON object: stage -> name -> value


_TEXT = pa.string()
CHECK_TYPE = pa.struct(
    [
        ("stage", _TEXT),
        ("reason", _TEXT),
        ("score", pa.float64()),
        ("operator", _TEXT),
        ("threshold", pa.float64()),
        ("setting", _TEXT),
    ]
)
SCHEMA = versioned_schema(
    [
        ("source", _TEXT),
        ("video_id", _TEXT),
        ("group_id", _TEXT),
        ("path", _TEXT),
        ("start_frame", pa.int64()),
        ("stop_frame", pa.int64()),
        ("status", _TEXT),
        ("stage", _TEXT),
        ("reason", _TEXT),
        ("score", pa.float64()),
        ("operator", _TEXT),
        ("threshold", pa.float64()),
        ("error", _TEXT),
        ("message", _TEXT),
        ("input_bytes", pa.int64()),
        ("input_sha256", _TEXT),
        ("file_sha256", _TEXT),
        ("start_s", pa.float64()),
        ("stop_s", pa.float64()),
        ("speaker", _TEXT),
        ("language", _TEXT),
        ("unit", pa.int64()),
        ("attempt", pa.int64()),
        ("clips", pa.list_(_TEXT)),
        ("checks", pa.list_(CHECK_TYPE)),
        ("measurements", _TEXT),
    ],
    "ledger",
)
#: Columns that have a value in every row.
_ALWAYS = (
    "source video_id group_id path start_frame stop_frame status input_bytes unit attempt clips checks measurements"
)
NOT_NULL = tuple(_ALWAYS.split(" "))
RANGE_COLUMNS = ("file_sha256", "start_s", "stop_s")
"""Columns that a file lacks where no input is a range, and where an earlier version wrote it."""

SORT_KEYS = [
    ("source", "ascending"),
    ("video_id", "ascending"),
    ("start_frame", "ascending"),
    ("stop_frame", "ascending"),
]
SORT_COLUMNS = tuple(name for name, _ in SORT_KEYS)


def decisions_to_table(decisions: Iterable[Decision]) -> pa.Table:
    """Return the decisions as a table in ledger order: source, video id, start, stop."""
    rows: list[dict[str, Any]] = []
    for decision in decisions:
        row = {name: getattr(decision, name) for name in SCHEMA.names if name not in ("start_frame", "stop_frame")}
        row["start_frame"], row["stop_frame"] = decision.span.start_frame, decision.span.stop_frame
        row["checks"] = [asdict(check) for check in decision.checks]
        rows.append(row)
    rows.sort(key=lambda row: (row["source"], row["video_id"], row["start_frame"], row["stop_frame"]))
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def table_to_decisions(table: pa.Table) -> list[Decision]:
    """Return the rows of a ledger as decisions. Raises FaultError for values that no decision has."""
    decisions = []
    for row in table.to_pylist():
        try:
            span = Span(row.pop("start_frame"), row.pop("stop_frame"))
            row["clips"] = tuple(row["clips"])
            row["checks"] = tuple(Check(**check) for check in row["checks"])
        except (TypeError, ValueError) as error:
            raise FaultError(f"ledger: {row['source']}: {row['video_id']}: the row is no decision ({error})") from None
        decisions.append(Decision(span=span, **row))
    return decisions


def parse_measurements(text: str, where: str) -> dict[str, dict[str, Any]]:
    """Return the tables of the column `measurements`, by stage. Raises FaultError, which begins with `where`."""
    try:
        fields = Fields.from_value(load_json(text), where)
    except ValueError as error:
        raise FaultError(f"{where}: not readable as JSON ({error})") from None
    return {stage: dict(fields.table(stage).values) for stage in fields.values}


def encode_ledger(table: pa.Table) -> bytes:
    """Return the table as the bytes of a Parquet file; the same table gives the same bytes."""
    unused = [name for name in RANGE_COLUMNS if name in table.column_names]
    if all(table[name].null_count == table.num_rows for name in unused):
        table = table.drop_columns(unused)
    return encode_parquet(table, row_group_size=131_072)


def read_ledger(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Return a ledger file, or some columns of it. Raises as `read_parquet`."""
    names = list(columns or SCHEMA.names)
    with translate_parquet_errors(path, "ledger"):
        stored = pq.read_schema(path).names
    lacking = [name for name in names if name in RANGE_COLUMNS and name not in stored]
    present = [name for name in names if name not in lacking]
    table = read_parquet(path, "ledger", present, schema=SCHEMA, not_null=NOT_NULL)
    for name in lacking:
        table = table.append_column(SCHEMA.field(name), pa.nulls(table.num_rows, SCHEMA.field(name).type))
    return table.select(names)


def newest_decisions(tables: Iterable[pa.Table]) -> pa.Table:
    """Return the rows of the ledgers of attempts, which come in their order, in ledger order.

    Of a video that several attempts decided, only the last decisions count. The tables have the columns that rows are
    sorted by, and other columns alike; no table gives an empty ledger.
    """
    import pyarrow.compute as pc  # takes as long to import as pyarrow itself

    table: pa.Table | None = None
    for newer in tables:
        if table is not None and table.num_rows and newer.num_rows:
            newer_videos = pc.binary_join_element_wise(newer["source"], newer["video_id"], "\0")
            videos = pc.binary_join_element_wise(table["source"], table["video_id"], "\0")
            table = table.filter(pc.invert(pc.is_in(videos, value_set=pc.unique(newer_videos))))
        table = newer if table is None else pa.concat_tables([table, newer])
    if table is None:
        return SCHEMA.empty_table()
    return table.sort_by(SORT_KEYS) if table.num_rows else table


def encode_unit_ledgers(tables: Sequence[pa.Table]) -> bytes:
    """Return the tables of all units as one sorted ledger. Units come in the order of the plan, not of the ledger."""
    table = pa.concat_tables(tables) if tables else SCHEMA.empty_table()
    return encode_ledger(table.sort_by(SORT_KEYS))
