"""Schema versions of the files that other programs read; a file of a newer version is refused."""

import io
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from avf_shards.errors import FaultError, UserError
from avf_shards.system.storage_faults import read_bytes, refuse_special_file

SCHEMA_VERSION = "schema_version"
"""Key of the version: in JSON objects, and in the key-value metadata of Parquet files."""

FileKind = Literal[
    "active unit",
    "attempt ledger",
    "checkpoint",
    "clip record",
    "curation run",
    "cut list",
    "denylist",
    "detector",
    "evaluation scores",
    "event",
    "detection report",
    "expert projector",
    "expert prompts",
    "expert tokens",
    "feature track",
    "features",
    "fold results",
    "frame ensemble",
    "frame features",
    "frame folds",
    "frame report",
    "frame result",
    "gate evidence",
    "label track",
    "learned clips",
    "ledger",
    "pack",
    "picture record",
    "plan",
    "plan summary",
    "predictions",
    "replay snapshot",
    "saved model",
    "selection",
    "shard index",
    "shard manifest",
    "skipped inputs",
    "source folders",
    "source totals",
    "speech result",
    "step metrics",
    "stored folder",
    "study results",
    "sync head",
    "test result",
    "throughput",
    "trained videos",
    "training run",
    "unit",
    "unit log entry",
    "validation scores",
]

VERSIONS: Mapping[FileKind, int] = {
    "active unit": 1,  # RUN/log/active/ATTEMPT-UNIT.json
    "attempt ledger": 1,  # RUN/attempt-N/ledger/ledger.json
    "checkpoint": 1,  # RUN/checkpoints/step-N/manifest.json
    "clip record": 1,  # KEY.json in a shard
    "curation run": 2,  # RUN/run/run.json
    "cut list": 1,  # lines of FILE.jsonl of avf-shards cuts
    "denylist": 1,  # RUN/denylist-DIGEST.json, SHARDS/denylist-DIGEST.json
    "detector": 1,  # DIR/detector.json of avf-train weights pull
    "evaluation scores": 1,  # rows of RUN/evaluation.jsonl
    "event": 1,  # lines of RUN/log/events.jsonl
    "detection report": 1,  # OUT/detection.json of avf-train report-detection
    "expert projector": 1,  # metadata of the .safetensors file of a projector
    "expert prompts": 1,  # OUT/prompt_set.json of avf-train expert prompts
    "expert tokens": 1,  # metadata of the .safetensors file of avf-train expert tokens
    "feature track": 1,  # EXTRACTOR/SOURCE/VIDEO.parquet of avf-train extract
    "features": 1,  # Parquet file of avf-train embed
    "fold results": 1,  # OUT/folds.json of avf-train finetune --fold all
    "frame ensemble": 1,  # OUT/NAME/ensemble.json of avf-train ensemble-frames
    "frame features": 1,  # NAME.safetensors of avf-train frames
    "frame folds": 1,  # JSON file of avf-train frame-folds
    "frame report": 1,  # OUT/TASK.json of avf-train report-frames
    "frame result": 1,  # RUN/result.json of avf-train train-frames
    "gate evidence": 1,  # audit/gate_evidence.json of the package
    "label track": 1,  # TASK/SOURCE/VIDEO.parquet of avf-train frame-labels
    "learned clips": 1,  # learned.parquet of a training run and of a saved model
    "ledger": 1,  # ledger.parquet of a unit and of an attempt
    "pack": 1,  # SHARDS/pack.json
    "picture record": 1,  # KEY.json in a picture shard
    "plan": 1,  # RUN/attempt-N/plan/plan.parquet
    "plan summary": 2,  # RUN/attempt-N/plan/plan.json
    "predictions": 1,  # RUN/predictions/PROTOCOL.json
    "replay snapshot": 1,  # RUN/nonfinite/rank-N.json
    "saved model": 1,  # config.json beside model.safetensors
    "selection": 1,  # SHARDS/selection.parquet
    "shard index": 1,  # NAME.index.json
    "shard manifest": 1,  # SHARDS/manifest.json
    "skipped inputs": 1,  # RUN/attempt-N/plan/skipped_inputs.parquet
    "source folders": 1,  # RUN/log/sources.json
    "source totals": 1,  # RUN/log/estimate.json of the run of a sample
    "speech result": 1,  # RUN/result.json of avf-train train-speech
    "step metrics": 1,  # rows of RUN/metrics.jsonl
    "stored folder": 1,  # FOLDER/committed.json of a folder in an object store
    "study results": 1,  # OUT/study.json
    "sync head": 1,  # metadata of sync_head.safetensors of avf-curate learn-sync
    "test result": 1,  # RUN/result.json of post-pre-training and fine-tuning
    "throughput": 1,  # rows of RUN/throughput.jsonl
    "trained videos": 1,  # PREDICTIONS/NAME/trained_videos.json, RUN/trained_videos.json
    "training run": 1,  # RUN/run.json of pre-training and fine-tuning
    "unit": 2,  # unit.json
    "unit log entry": 1,  # lines of RUN/log/units.jsonl
    "validation scores": 1,  # rows of RUN/validation.jsonl
}
"""Newest version that this program writes and understands. Raise a number when a reader of today would misread the file
of tomorrow: a field renamed, removed or with another unit. A new optional field needs no new version."""


def stamp(values: Mapping[str, Any], kind: FileKind) -> dict[str, Any]:
    """Return a copy of `values` that says its schema version."""
    return {**values, SCHEMA_VERSION: VERSIONS[kind]}


def check_version(values: Mapping[str, Any], kind: FileKind, where: str) -> None:
    """Raise UserError unless `values`, read from `where`, have a schema version that this program understands.

    A file without a version was written before files had versions, or by another program.
    """
    version = values.get(SCHEMA_VERSION)
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise UserError(
            f"{where}: is not the {kind} file of avf-foundry 0.2 or later: its {SCHEMA_VERSION} is "
            f"{json.dumps(version)}; an older version or another program wrote it"
        )
    refuse_newer_version(values, kind, where)


def refuse_newer_version(values: Mapping[str, Any], kind: FileKind, where: str) -> None:
    """Raise UserError when `values`, read from `where`, have a newer schema version than this program understands."""
    version, known = values.get(SCHEMA_VERSION), VERSIONS[kind]
    if isinstance(version, int) and version > known:
        raise UserError(
            f"{where}: {kind} file of schema version {version}, this program understands versions up to {known}; "
            "update avf-foundry"
        )


def read_json(path: Path, kind: FileKind | None = None) -> dict[str, Any]:
    """Return the JSON object in a file, after a check of its schema version if `kind` names one.

    Raises as `parse_json`.
    """
    return parse_json(read_bytes(path), kind, str(path))


def parse_json(data: bytes | str, kind: FileKind | None, where: str) -> dict[str, Any]:
    """Return the JSON object in the content of a file, after a check of its schema version if `kind` names one.

    Raises UserError for another version, FaultError for text that is not a JSON object; `where` names the file.
    """
    try:
        values = json.loads(data)
    except UnicodeDecodeError:
        raise FaultError(f"{where}: not readable as JSON (not UTF-8 text)") from None
    except RecursionError:
        raise FaultError(f"{where}: not readable as JSON (nested too deeply)") from None
    except ValueError as error:
        raise FaultError(f"{where}: not readable as JSON ({' '.join(str(error).split())})") from None
    if not isinstance(values, dict):
        raise FaultError(f"{where}: must hold a JSON object, and holds {' '.join(json.dumps(values).split())[:60]}")
    if kind is not None:
        check_version(values, kind, where)
    return values


@contextmanager
def translate_parquet_errors(path: Path, kind: FileKind) -> Iterator[None]:
    """Raise FaultError, which names the file, for what pyarrow raises inside the block on a damaged Parquet file."""
    try:
        yield
    except (pa.ArrowException, ValueError) as error:  # ValueError: a name in the footer that is no UTF-8
        raise FaultError(f"{path}: not readable as {kind} ({' '.join(str(error).split())})") from None
    except OSError as error:
        if error.errno is not None:  # the machine's, and not of the file's content
            error.filename = error.filename or str(path)
            raise
        raise FaultError(f"{path}: damaged ({' '.join(str(error).split())})") from None


def read_parquet(
    path: Path,
    kind: FileKind,
    columns: Sequence[str] | None = None,
    *,
    schema: pa.Schema | None = None,
    not_null: Collection[str] = (),
) -> pa.Table:
    """Return a Parquet file, or some columns of it, after a check of its schema version and columns.

    Args:
        path: of the file.
        kind: of the file, as its version has it.
        columns: names of the columns; None: those of `schema`, or all without one.
        schema: types that the columns must have; None: any.
        not_null: columns that have a value in every row.

    Raises:
        UserError: the file is of another version.
        FaultError: the file is damaged, or a column is missing, of another type, or without a value; the message names
            the file and the column.
    """
    names = list(columns) if columns else None if schema is None else list(schema.names)
    refuse_special_file(path)  # pyarrow would wait for one
    with translate_parquet_errors(path, kind), pq.ParquetFile(path, page_checksum_verification=True) as file:
        # The version comes before the columns: a newer version may have renamed them.
        check_schema(file.schema_arrow, kind, str(path))
        check_columns(file.schema_arrow, names or (), schema, f"{path}: not readable as {kind}")
        table = file.read(columns=names)
    refuse_nulls(table, not_null, f"{path}: not readable as {kind}")
    return table


def refuse_nulls(table: pa.Table | pa.RecordBatch, not_null: Iterable[str], where: str) -> None:
    """Raise FaultError where a column that must have a value in every row has none; `where` starts the message."""
    for name in not_null:
        if name in table.schema.names and table.column(name).null_count:
            raise FaultError(f"{where} (the column {name} has no value in a row)")


def check_columns(given: pa.Schema, names: Iterable[str], expected: pa.Schema | None, where: str) -> None:
    """Raise FaultError where a file lacks one of the columns `names`, has it twice, or has it with another type.

    Args:
        given: columns of the file.
        names: columns that are read.
        expected: types of the columns; None: any.
        where: start of the message, which names the file.
    """
    for name in names:
        count = len(given.get_all_field_indices(name))
        if count != 1:
            raise FaultError(f"{where} ({'there is no' if not count else 'there is more than one'} column {name})")
        if expected is not None and not given.field(name).type.equals(expected.field(name).type):
            raise FaultError(
                f"{where} (the column {name} holds {given.field(name).type}, not {expected.field(name).type})"
            )


def encode_parquet(table: pa.Table, **settings: Any) -> bytes:
    """Return the table as the bytes of a Parquet file with a checksum of each page; the same table, the same bytes."""
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", write_page_checksum=True, **settings)
    return sink.getvalue()


def versioned_schema(fields: Iterable[tuple[str, pa.DataType]], kind: FileKind) -> pa.Schema:
    """Return an Arrow schema whose metadata, and so that of a Parquet file written with it, says the version."""
    return pa.schema(list(fields), metadata={SCHEMA_VERSION: str(VERSIONS[kind])})


def check_schema(schema: pa.Schema, kind: FileKind, where: str) -> None:
    """Do what `check_version` does for the metadata of a Parquet file. Raises UserError."""
    text = (schema.metadata or {}).get(SCHEMA_VERSION.encode())
    check_version({SCHEMA_VERSION: int(text) if text is not None and text.isdigit() else None}, kind, where)
