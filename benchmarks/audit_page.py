"""Measure the audit page of a ledger of 1.36 million spans: its size, the time to write it and to draw it, and the memory."""

import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from avf_curation.audit.funnel import summarize_run
from avf_curation.reports.audit_report import write_audit_report
from avf_curation.reports.contact_sheets import MEDIA_BUDGET_BYTES
from avf_curation.stages.reasons import REASONS
from avf_curation.stages.undecided import UNDECIDED
from avf_shards.format.run_folder import LEDGER, RunFolder, attempt_ledger_files
from avf_shards.schema import ledger
from support.browser import BROWSER, open_page
from support.runs import make_run

from benchmarks.table import Section

SPANS, SOURCES, PART = 1_360_000, 18, 68_000
CHECKS = [name for name in REASONS if not name.endswith(UNDECIDED) and not name.startswith("takedown")]


def run() -> list[Section]:
    with tempfile.TemporaryDirectory() as name:
        made = make_run(Path(name))
        _replace_ledger(made, SPANS)
        page = Path(name) / "page.html"
        before_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
        start = time.perf_counter()
        write_audit_report(made, summarize_run(made), page)
        seconds = time.perf_counter() - start
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
        size = page.stat().st_size
        drawn_s = _draw_s(page) if BROWSER else float("nan")
    rows = [
        ["spans", "charts", "page MB", "with media at most MB", "to write s", "peak MB (before)", "to draw s"],
        [
            f"{SPANS:,}",
            f"{SOURCES * len(CHECKS)}",
            f"{size / 1e6:.1f}",
            f"{(size + MEDIA_BUDGET_BYTES) / 1e6:.1f}",
            f"{seconds:.0f}",
            f"{peak_mb:.0f} ({before_mb:.0f})",
            f"{drawn_s:.1f}",
        ],
    ]
    note = (
        f"A generated ledger of {SOURCES} sources with {len(CHECKS)} checks a span, without media: a page's pictures and "
        "excerpts have a budget of their own. To draw: from the address to the first chart, jumped to, in headless Chromium."
    )
    return [Section("Audit page", note, rows)]


def _draw_s(page: Path) -> float:
    """Return the seconds from the navigation until the first chart of the page, scrolled into view, is drawn."""
    start = time.perf_counter()
    with open_page(page) as tab:
        start = time.perf_counter()
        tab.reload()
        tab.evaluate("document.getElementById('scores').scrollIntoView()")
        tab.wait_for_selector(".chart[data-drawn]")
        return time.perf_counter() - start


def _replace_ledger(made: RunFolder, spans: int) -> None:
    """Write a ledger of `spans` spans in the place of the run's own, a part at a time."""
    draw = np.random.default_rng(0)
    path = made.attempt_folder(0) / "ledger" / LEDGER
    with pq.ParquetWriter(path, ledger.SCHEMA, compression="zstd") as writer:
        for first in range(0, spans, PART):
            writer.write_table(_part(draw, first, min(PART, spans - first)))
    for name, data in attempt_ledger_files(0, path.read_bytes()).items():  # also the digest, which a report checks
        (path.parent / name).write_bytes(data)


def _part(draw: np.random.Generator, first: int, rows: int) -> pa.Table:
    width = len(CHECKS)
    number_R = np.arange(first, first + rows)
    source_R = number_R * SOURCES // SPANS
    failing_R = np.where(draw.random(rows) < 0.3, draw.integers(0, width, rows), -1)
    stages, reasons = (pa.array([name.split("/")[index] for name in CHECKS]) for index in (0, 1))
    choices = pa.array(np.maximum(failing_R, 0))
    status_R = pa.array(np.where(failing_R >= 0, "rejected", "kept"))
    score_C = draw.lognormal(0, 1.5, rows * width).round(4)
    fields = [
        pa.array(np.tile(stages.to_numpy(zero_copy_only=False), rows)),
        pa.array(np.tile(reasons.to_numpy(zero_copy_only=False), rows)),
        pa.array(score_C, mask=draw.random(rows * width) < 0.05),
        pa.array(np.full(rows * width, ">=")),
        pa.array(np.full(rows * width, 0.2)),
        pa.nulls(rows * width, pa.string()),
    ]
    offsets = np.arange(0, rows * width + 1, width, dtype=np.int32)
    masked = pa.array(failing_R < 0)
    names = pa.array([f"{number:08d}.mp4" for number in number_R])
    columns = {
        "source": pa.array([f"source {number:02d}" for number in source_R]),
        "video_id": names,
        "group_id": names,
        "path": names,
        "start_frame": pa.array(np.zeros(rows, np.int64)),
        "stop_frame": pa.array(draw.integers(50, 500, rows)),
        "status": status_R,
        "stage": pc.if_else(masked, None, stages.take(choices)),
        "reason": pc.if_else(masked, None, reasons.take(choices)),
        "clips": pa.ListArray.from_arrays(np.zeros(rows + 1, np.int32), pa.array([], pa.string())),
        "checks": pa.ListArray.from_arrays(offsets, pa.StructArray.from_arrays(fields, fields=list(ledger.CHECK_TYPE))),
        "score": pa.array(np.full(rows, 0.1), mask=(failing_R < 0)),
        "operator": pa.array(np.full(rows, ">="), mask=(failing_R < 0)),
        "threshold": pa.array(np.full(rows, 0.2), mask=(failing_R < 0)),
        "measurements": pa.array(np.full(rows, "{}")),
    }
    zeros = {name: pa.array(np.zeros(rows, np.int64)) for name in ("input_bytes", "unit", "attempt")}
    columns |= zeros
    return pa.table(
        [columns.get(name, pa.nulls(rows, ledger.SCHEMA.field(name).type)) for name in ledger.SCHEMA.names],
        schema=ledger.SCHEMA,
    )
