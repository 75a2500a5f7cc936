"""1.36 million made-up entries: plan by stat, audit of a ledger, selection by the paper's quotas."""

import os
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from avf_curation.audit import audit_table
from avf_curation.inputs import SetAside
from avf_curation.plan import encode_plan, make_plan
from avf_curation.recipe import load_recipe
from avf_curation.sources.folder import walk
from avf_shards import ledger
from avf_shards.select import Selection, SourceSelection, choose

from benchmarks.table import Section

QUOTAS = {"voxceleb2": 515_000, "avspeech": 371_000, "cncvs": 370_000, "mer2024": 85_000, "celebvhq": 18_000}
ENTRIES = 1_360_000


def run() -> list[Section]:
    plan_s, units = _plan()
    table = _ledger()
    audit_s, select_s, exact = _read_and_ask(table)
    rows = [
        ["what", "seconds", "target"],
        [f"plan of {ENTRIES:,} files by stat, {units:,} units", f"{plan_s:.1f}", "60"],
        [f"read and audit a ledger of {table.num_rows:,} decisions", f"{audit_s:.1f}", "20"],
        [f"pack's selection, all five quotas exact: {'yes' if exact else 'NO'}", f"{select_s:.1f}", "60"],
    ]
    return [Section("Scale", "Made-up entries on a local disk; one process.", rows)]


def _plan() -> tuple[float, int]:
    config = load_recipe().defaults.plan
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for folder in range(ENTRIES // 1000):
            (root / f"id{folder:05d}").mkdir()
            for number in range(1000):
                os.mknod(root / f"id{folder:05d}" / f"{number:05d}.mp4")
        aside: list[SetAside] = []
        start = time.perf_counter()
        table = make_plan(walk(root, "made", config, aside), {"made": config})
        encode_plan(table)
        return time.perf_counter() - start, int(table["unit"].to_numpy().max()) + 1


def _ledger() -> pa.Table:
    """About 1.36 million kept spans that meet the quotas, and as many verdicts again that do not."""
    draw = np.random.default_rng(0)
    tables = []
    for source, quota in sorted(QUOTAS.items()):
        kept, rows = quota + 1000, int(quota * 1.5) + 1000
        numbers = np.arange(rows)
        status = np.where(numbers < kept, "kept", "rejected")
        names = [f"id{n // 100:05d}/{n:09d}.mp4" for n in numbers]
        keys = [[f"{source}-{n:012x}-0000000-0000200-0"] if n < kept else [] for n in numbers]
        score = draw.normal(5, 1, rows).round(4)
        check = pa.StructArray.from_arrays(
            [
                pa.array(["sync"] * rows),
                pa.array(["low_confidence"] * rows),
                pa.array(score),
                pa.array([">="] * rows),
                pa.array(np.full(rows, 1.0)),
            ],
            fields=list(ledger.CHECK_TYPE),
        )
        columns = {
            "source": pa.array([source] * rows),
            "video": pa.array(names),
            "parent": pa.array(names),
            "path": pa.array(names),
            "start_frame": pa.array(np.zeros(rows, np.int64)),
            "stop_frame": pa.array(np.full(rows, 200, np.int64)),
            "status": pa.array(status),
            "stage": pa.array(np.where(numbers < kept, None, "faces")),
            "reason": pa.array(np.where(numbers < kept, None, "no_face")),
            "score": pa.array(np.where(numbers < kept, np.nan, 1.0), from_pandas=True),
            "operator": pa.array(np.where(numbers < kept, None, "<=")),
            "threshold": pa.array(np.where(numbers < kept, np.nan, 0.4), from_pandas=True),
            "error": pa.nulls(rows, pa.string()),
            "message": pa.nulls(rows, pa.string()),
            "input_bytes": pa.array(np.full(rows, 300_000, np.int64)),
            "input_sha256": pa.array([f"{source}{n:055x}" for n in numbers]),
            "unit": pa.array(numbers // 16),
            "generation": pa.array(np.zeros(rows, np.int64)),
            "clips": pa.array(keys, pa.list_(pa.string())),
            "checks": pa.ListArray.from_arrays(np.arange(rows + 1, dtype=np.int32), check),
            "measures": pa.array(["{}"] * rows),
        }
        tables.append(pa.table(columns, schema=ledger.SCHEMA))
    return pa.concat_tables(tables).combine_chunks()


def _read_and_ask(table: pa.Table) -> tuple[float, float, bool]:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "ledger.parquet"
        path.write_bytes(ledger.encode(table))
        start = time.perf_counter()
        read = ledger.read(path)
        audit_table(read, {"backends": {}, "fingerprint": "f"})
        audit_s = time.perf_counter() - start
    start = time.perf_counter()
    wanted = Selection(sources={name: SourceSelection(quota) for name, quota in QUOTAS.items()})
    choice = choose(read, wanted)
    select_s = time.perf_counter() - start
    return audit_s, select_s, all(len(choice.clips[name]) == quota for name, quota in QUOTAS.items())
