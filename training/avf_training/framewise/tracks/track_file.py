"""Files of tracks, which have a row for each frame: written once, read whole, every byte under a checksum.

Feature tracks and label tracks are both such files; each says its columns and metadata. Shapes: N frames.
"""

import hashlib
import io
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from avf_shards.errors import FaultError
from avf_shards.schema.versions import (
    SCHEMA_VERSION,
    VERSIONS,
    FileKind,
    check_columns,
    check_schema,
    refuse_nulls,
    translate_parquet_errors,
)
from avf_shards.system import durable_io
from avf_shards.system.storage_faults import read_bytes

from avf_training.framewise.tracks.errors import DamagedTrackError, MissingTrackError, OtherTrackError
from avf_training.framewise.tracks.frame_rates import is_frame_rate

ENDING = ".parquet"
FRAME, TIME_S = "frame", "time_s"
FRAME_COLUMNS = ((FRAME, pa.int64()), (TIME_S, pa.float64()))
_DIGEST = "header_sha256"


@dataclass(frozen=True, kw_only=True)
class TrackFileKind:
    """How a kind of track is called, and what writes it."""

    name: FileKind
    noun: str  # in messages, as "track"
    written_by: str  # the command that writes such a file
    remedy: str  # what to do about a damaged one


def write_once(path: Path, data: bytes) -> None:
    """Write a file under a temporary name, then rename it. What killed writers of this file left is removed.

    Raises OtherTrackError where a file stands at `path` already.
    """
    durable_io.make_folder(path.parent)
    # A token, because two machines may have processes of the same number.
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}")
    try:
        durable_io.write(temporary, data)
        durable_io.publish_file(temporary, path)
    except (durable_io.AlreadyExistsError, FileNotFoundError):  # or a faster writer removed the temporary file
        raise OtherTrackError(
            f"{path}: exists already; tracks are written once: remove it, or name another folder"
        ) from None
    finally:
        durable_io.remove(temporary)
    for left in path.parent.glob(f".{path.name}.*"):
        durable_io.remove(left)


def open_table(path: Path, kind: TrackFileKind) -> pa.Table:
    """Return the rows of a track's file; frames and times are there with their types.

    Raises:
        MissingTrackError: there is no such file.
        DamagedTrackError: it cannot be read, or has other columns.
        UserError: it is of a newer version.
    """
    try:
        data = read_bytes(path)
    except FileNotFoundError:
        raise MissingTrackError(f"{path}: no such {kind.noun}; `{kind.written_by}` writes it") from None
    except IsADirectoryError:
        raise DamagedTrackError(f"{path}: is a folder, not a {kind.noun}", "move it away") from None
    try:
        with (
            translate_parquet_errors(path, kind.name),
            pq.ParquetFile(io.BytesIO(data), page_checksum_verification=True) as file,
        ):
            check_schema(file.schema_arrow, kind.name, str(path))
            where = f"{path}: not readable as {kind.name}"
            check_columns(file.schema_arrow, (FRAME, TIME_S), pa.schema(FRAME_COLUMNS), where)
            table = file.read()
            refuse_nulls(table, (FRAME, TIME_S), where)
            return table.combine_chunks()
    except FaultError as error:
        raise DamagedTrackError(str(error), kind.remedy) from None


def check_values(path: Path, kind: TrackFileKind, table: pa.Table, values: pa.Schema, nullable: bool) -> None:
    """Raise DamagedTrackError unless a table has the columns `values`, of their types, and nulls only if `nullable`.

    A type that is null stands for any.
    """
    where = f"{path}: not readable as {kind.name}"
    try:
        for field in values:
            check_columns(table.schema, (field.name,), None if pa.types.is_null(field.type) else values, where)
        refuse_nulls(table, () if nullable else values.names, where)
    except FaultError as error:
        raise DamagedTrackError(str(error), kind.remedy) from None


def seal_header(kind: FileKind, values: Mapping[str, str]) -> dict[str, str]:
    """Return the metadata of a track's file: its kind and version, `values`, and a digest of all of them."""
    header = {SCHEMA_VERSION: str(VERSIONS[kind]), "schema": f"avf-foundry {kind}", **values}
    text = json.dumps(header, sort_keys=True)
    return header | {_DIGEST: hashlib.sha256(text.encode()).hexdigest()}


def read_metadata(table: pa.Table) -> dict[str, str]:
    """Return the metadata of a table as text."""
    pairs = (table.schema.metadata or {}).items()
    return {key.decode(errors="replace"): value.decode(errors="replace") for key, value in pairs}


def check_digest(metadata: Mapping[str, str], header: Mapping[str, str]) -> None:
    """Raise KeyError or ValueError unless metadata have the digest of the header of what was read from them.

    Pages have checksums, and metadata have none but this.
    """
    if header[_DIGEST] != metadata[_DIGEST]:
        raise ValueError("their digest is another")


def describe_invalid_frames(frames_N: npt.NDArray[np.int64], times_s_N: npt.NDArray[np.float64], fps: float) -> str:
    """Return what is wrong with the frames of a track; the empty text where nothing is."""
    if frames_N[0] < 1 or (np.diff(frames_N) <= 0).any():
        return "its frame numbers do not rise from 1 on"
    if not np.isfinite(times_s_N).all() or (np.diff(times_s_N) <= 0).any():
        return "its times do not rise"
    if not is_frame_rate(fps):
        return f"has {fps} frames a second"
    return ""
