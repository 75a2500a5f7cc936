"""Measure plan, audit, selection, what-if and near duplicates on 1.36 million synthetic entries."""

import os
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from avf_curation.audit.funnel import summarize_ledger
from avf_curation.audit.what_if import WhatIfRequest, what_if_batches
from avf_curation.recipe import load_recipe
from avf_curation.runs.plan import make_plan
from avf_curation.runs.plan_table import encode_plan
from avf_curation.sources.folder import list_folder_videos
from avf_curation.sources.listing import Listing
from avf_curation.sources.types import SkippedInput
from avf_shards.format.run_identity import RunIdentity
from avf_shards.packing.near_duplicates import NearDuplicateConfig, NearDuplicateIndex
from avf_shards.packing.selection import Selection, SourceSelection, select_clips
from avf_shards.schema import ledger

from benchmarks.table import Section

QUOTAS = {"voxceleb2": 515_000, "avspeech": 371_000, "cncvs": 370_000, "mer2024": 85_000, "celebvhq": 18_000}
ENTRIES = 1_360_000


def run() -> list[Section]:
    near_s, duplicates = _near_duplicates()
    plan_s, units = _plan()
    table = _ledger()
    audit_s, select_s, exact = _audit_and_select(table)
    rows = [
        ["operation", "seconds", "target"],
        [f"plan of {ENTRIES:,} files by stat, {units:,} units", f"{plan_s:.1f}", "60"],
        [f"read and audit a ledger of {table.num_rows:,} decisions", f"{audit_s:.1f}", "20"],
        [f"pack's selection, all five quotas exact: {'yes' if exact else 'NO'}", f"{select_s:.1f}", "60"],
        [
            f"what-if on {ENTRIES:,} decisions of {len(CHECKS)} checks each, two thresholds",
            f"{_what_if():.1f}",
            "seconds",
        ],
        [f"near duplicates among {CLIPS:,} clips of 8 s: {duplicates}", f"{near_s:.1f}", ""],
    ]
    return [Section("Scale", "Synthetic entries on a local disk; one process.", rows)]


def _plan() -> tuple[float, int]:
    config = load_recipe().defaults.plan
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for folder in range(ENTRIES // 1000):
            (root / f"id{folder:05d}").mkdir()
            for number in range(1000):
                os.mknod(root / f"id{folder:05d}" / f"{number:05d}.mp4")
        skipped_inputs: list[SkippedInput] = []
        start = time.perf_counter()
        table = make_plan(list_folder_videos(Listing("synthetic", root, skipped_inputs), config), {"synthetic": config})
        encode_plan(table)
        return time.perf_counter() - start, int(table["unit"].to_numpy().max()) + 1


def _ledger() -> pa.Table:
    """Return a ledger with as many kept spans as the quotas ask for, and half as many rejected ones."""
    draw = np.random.default_rng(0)
    tables = []
    for source, quota in sorted(QUOTAS.items()):
        kept_rows, rows = quota + 1000, int(quota * 1.5) + 1000
        numbers = np.arange(rows)
        status = np.where(numbers < kept_rows, "kept", "rejected")
        names = [f"id{n // 100:05d}/{n:09d}.mp4" for n in numbers]
        keys = [[f"{source}-{n:012x}-0000000-0000200-0"] if n < kept_rows else [] for n in numbers]
        score = draw.normal(5, 1, rows).round(4)
        check = pa.StructArray.from_arrays(
            [
                pa.array(["sync"] * rows),
                pa.array(["low_confidence"] * rows),
                pa.array(score),
                pa.array([">="] * rows),
                pa.array(np.full(rows, 1.0)),
                pa.array(["sync.min_confidence"] * rows),
            ],
            fields=list(ledger.CHECK_TYPE),
        )
        columns = {
            "source": pa.array([source] * rows),
            "video_id": pa.array(names),
            "group_id": pa.array(names),
            "path": pa.array(names),
            "start_frame": pa.array(np.zeros(rows, np.int64)),
            "stop_frame": pa.array(np.full(rows, 200, np.int64)),
            "status": pa.array(status),
            "stage": pa.array(["faces"] * rows, mask=numbers < kept_rows),
            "reason": pa.array(["no_face"] * rows, mask=numbers < kept_rows),
            "score": pa.array(np.where(numbers < kept_rows, np.nan, 1.0), from_pandas=True),
            "operator": pa.array(["<="] * rows, mask=numbers < kept_rows),
            "threshold": pa.array(np.where(numbers < kept_rows, np.nan, 0.4), from_pandas=True),
            "error": pa.nulls(rows, pa.string()),
            "message": pa.nulls(rows, pa.string()),
            "input_bytes": pa.array(np.full(rows, 300_000, np.int64)),
            "input_sha256": pa.array([f"{source}{n:055x}" for n in numbers]),
            "file_sha256": pa.nulls(rows, pa.string()),
            "start_s": pa.nulls(rows, pa.float64()),
            "stop_s": pa.nulls(rows, pa.float64()),
            "speaker": pa.array([f"id{n // 200:05d}" for n in numbers]),
            "language": pa.array(["zh" if source in ("cncvs", "mer2024") else None] * rows, pa.string()),
            "unit": pa.array(numbers // 16),
            "attempt": pa.array(np.zeros(rows, np.int64)),
            "clips": pa.array(keys, pa.list_(pa.string())),
            "checks": pa.ListArray.from_arrays(np.arange(rows + 1, dtype=np.int32), check),
            "measurements": pa.array(["{}"] * rows),
        }
        tables.append(pa.table(columns, schema=ledger.SCHEMA))
    return pa.concat_tables(tables).combine_chunks()


CHECKS = [
    *(("scenes", reason) for reason in ("too_short", "cut_off", "no_picture", "no_sound")),
    *(
        ("faces", reason)
        for reason in ("no_face", "several_faces", "too_small", "size_jump", "out_of_frame", "too_wide")
    ),
    *(("silence", reason) for reason in ("silent", "too_short")),
    *(
        ("track", reason)
        for reason in ("face_lost", "several_faces", "jump", "another_face", "too_small", "out_of_frame")
    ),
    *(("sync", reason) for reason in ("low_confidence", "offset")),
    *(("quality", reason) for reason in ("blurred", "frozen", "black", "letterbox", "watermark", "watermark_pooled")),
]
CLIPS = 50_000


def _what_if() -> float:
    """Return the seconds that `avf-curate what-if` takes to read a ledger from disk and decide it with other thresholds."""
    draw = np.random.default_rng(0)
    part, width = 68_000, len(CHECKS)
    values = part * width
    stages, reasons = (pa.array([pair[i] for pair in CHECKS] * part) for i in (0, 1))
    settings = pa.array([f"{stage}.{reason}" for stage, reason in CHECKS] * part)
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "ledger.parquet"
        writer: pq.ParquetWriter | None = None
        for _ in range(ENTRIES // part):
            score = draw.normal(5, 1, values).round(4)
            score[width - 7 :: width] = draw.normal(4.5, 1.2, part).round(4)  # sync/low_confidence: one in ten fails
            fields = [
                stages,
                reasons,
                pa.array(score),
                pa.array([">="] * values),
                pa.array(np.full(values, 1.0)),
                settings,
            ]
            checks = pa.StructArray.from_arrays(fields, fields=list(ledger.CHECK_TYPE))
            table = pa.table(
                {
                    "source": pa.array([list(QUOTAS)[n % 5] for n in range(part)]),
                    "status": pa.array(["kept"] * part),
                    "stage": pa.nulls(part, pa.string()),
                    "reason": pa.nulls(part, pa.string()),
                    "start_frame": pa.array(np.zeros(part, np.int64)),
                    "stop_frame": pa.array(np.full(part, 200, np.int64)),
                    "checks": pa.ListArray.from_arrays(np.arange(0, values + 1, width, dtype=np.int32), checks),
                }
            )
            writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
            writer.write_table(table)
        assert writer is not None
        writer.close()
        start = time.perf_counter()
        with pq.ParquetFile(path) as file:
            thresholds = {"": {"sync.low_confidence": 3.0}, "cncvs": {"quality.blurred": 4.0}}
            decisions = what_if_batches(file.iter_batches(), WhatIfRequest(thresholds=thresholds, notes={}))
        assert sum(source.rejected for source in decisions.sources.values()) > 0
        return time.perf_counter() - start


def _near_duplicates() -> tuple[float, str]:
    """Return the seconds of the search, and how many of the duplicated recordings it finds."""
    draw = np.random.default_rng(0)
    fingerprints = {f"a-{n:012x}": draw.integers(0, 2**32, 200, np.uint32) for n in range(CLIPS)}
    duplicated = list(fingerprints)[:500]
    for key in duplicated:
        flips = (draw.random((160, 32)) < 0.1) @ (1 << np.arange(32, dtype=np.uint64))
        fingerprints[key.replace("a-", "b-")] = fingerprints[key][30:190] ^ flips.astype(np.uint32)
    start = time.perf_counter()
    index = NearDuplicateIndex(fingerprints, {key: key for key in fingerprints}, NearDuplicateConfig(), 0)
    matched = sum(index.find(key.replace("a-", "b-"), {key}) is not None for key in duplicated)
    return time.perf_counter() - start, f"{matched} of {len(duplicated)} found"


def _audit_and_select(table: pa.Table) -> tuple[float, float, bool]:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "ledger.parquet"
        path.write_bytes(ledger.encode_ledger(table))
        identity = RunIdentity(
            fingerprint="f",
            settings=load_recipe().values,
            backends={},
            device="cpu",
            weights={},
            versions={},
            sources=tuple(QUOTAS),
        )
        start = time.perf_counter()
        read = ledger.read_ledger(path)
        summarize_ledger(read, identity)
        audit_s = time.perf_counter() - start
    start = time.perf_counter()
    selection = Selection(sources={name: SourceSelection(quota=quota) for name, quota in QUOTAS.items()})
    result = select_clips(read, selection)
    select_s = time.perf_counter() - start
    return audit_s, select_s, all(len(result.clips[name]) == quota for name, quota in QUOTAS.items())
