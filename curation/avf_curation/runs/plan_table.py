"""The files of a plan: the columns of its tables, and the inputs in their rows."""

import json
import os
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from avf_shards.errors import FaultError
from avf_shards.format.picture_record import read_subset
from avf_shards.schema.fields import Fields
from avf_shards.schema.labels import Labels, Origin, read_box
from avf_shards.schema.versions import encode_parquet, read_parquet, translate_parquet_errors, versioned_schema
from avf_shards.text import load_json

from avf_curation.sources.types import OwnersFaces, PictureInput, RecordPosition, SkippedInput, Video

ORIGIN = pa.struct(
    [("id", pa.string()), ("start_s", pa.float64()), ("stop_s", pa.float64()), ("box", pa.list_(pa.float64()))]
)
SCHEMA = versioned_schema(
    [
        ("unit", pa.int64()),
        ("source", pa.dictionary(pa.int32(), pa.string())),
        ("video_id", pa.string()),
        ("group_id", pa.string()),
        ("path", pa.binary()),  # file names need not be UTF-8
        ("size_bytes", pa.int64()),
        ("mtime_ns", pa.int64()),
        ("sound_path", pa.binary()),
        ("own_sound_first", pa.bool_()),
        ("boxes_path", pa.binary()),
        ("start_s", pa.float64()),
        ("stop_s", pa.float64()),
        ("speaker", pa.string()),
        ("language", pa.string()),
        ("origin", ORIGIN),
        ("labels", pa.string()),
        ("side", pa.string()),
        ("side_share", pa.float64()),
        ("picture", pa.string()),
    ],
    "plan",
)


#: Columns that have a value in every row.
NOT_NULL = frozenset(["unit", "source", "video_id", "group_id", "path", "size_bytes", "mtime_ns", "own_sound_first"])


OPTIONAL = frozenset(["side_share", "picture"])
"""Columns that plans of earlier versions do not have, or plans of videos; an input has its default there."""


def encode_plan(table: pa.Table) -> bytes:
    """Return a table as the bytes of a Parquet file."""
    if "picture" in table.column_names and table["picture"].null_count == table.num_rows:
        table = table.drop_columns(["picture"])  # a plan of videos
    return encode_parquet(table)


def read_plan_table(path: Path) -> pa.Table:
    """Return the table of a plan, of this version or an earlier one. Raises as `read_parquet`."""
    with translate_parquet_errors(path, "plan"):
        stored = pq.read_schema(path).names
    columns = [name for name in SCHEMA.names if name in stored or name not in OPTIONAL]
    return read_parquet(path, "plan", columns, schema=SCHEMA, not_null=NOT_NULL)


def videos_of(rows: pa.Table) -> list[Video]:
    """Return the rows of a plan as inputs, in their order."""
    return [_to_video(row) for row in rows.to_pylist()]


def _to_video(row: dict[str, Any]) -> Video:
    row.pop("unit")
    for name in ("path", "sound_path", "boxes_path"):
        row[name] = None if row[name] is None else os.fsdecode(row[name])
    if row["origin"] is not None:
        box = row["origin"]["box"]
        row["origin"] = Origin(**row["origin"] | {"box": None if box is None else tuple(box)})
    if row["labels"] is not None:
        row["labels"] = Labels.from_json(_parse_object(row["labels"], f"plan: {row['video_id']}: labels"))
    if row.get("picture") is not None:
        row["picture"] = _read_picture(_parse_object(row["picture"], f"plan: {row['video_id']}: picture"))
    return Video(**row)


def encode_picture_input(picture: PictureInput | None) -> str | None:
    """Return what a plan says of a picture, as JSON; None for a video."""
    return None if picture is None else json.dumps(asdict(picture), sort_keys=True)


def _read_picture(fields: Fields) -> PictureInput:
    faces = fields.table("owners_faces") if fields.values.get("owners_faces") is not None else None
    packed = fields.table("packed") if fields.values.get("packed") is not None else None
    return PictureInput(
        packed=None
        if packed is None
        else RecordPosition(
            key=packed.integer("key"), position=packed.integer("position"), file_bytes=packed.integer("file_bytes")
        ),
        subset=read_subset(fields),
        box_px=read_box(fields, "box_px"),
        owners_faces=None
        if faces is None
        else OwnersFaces(score=faces.optional_number("score"), second_score=faces.optional_number("second_score")),
    )


def _parse_object(text: str, where: str) -> Fields:
    """Return the fields of an object in JSON. Raises FaultError, which begins with `where`."""
    try:
        return Fields.from_value(load_json(text), where)
    except ValueError as error:
        raise FaultError(f"{where}: not readable as JSON ({error})") from None


SKIPPED_SCHEMA = versioned_schema(
    [(name, pa.string()) for name in ("source", "kind", "path", "reason")], "skipped inputs"
)


def encode_skipped_inputs(skipped_inputs: Iterable[SkippedInput]) -> bytes:
    """Return the skipped inputs as the bytes of a Parquet file; a corpus may lack a million downloads."""
    rows = [(skipped.source, skipped.kind, skipped.path, skipped.reason) for skipped in skipped_inputs]
    columns = zip(*rows, strict=True) if rows else ((), (), (), ())
    return encode_plan(pa.table([pa.array(column, pa.string()) for column in columns], schema=SKIPPED_SCHEMA))
