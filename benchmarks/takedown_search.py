"""Measure the search of a takedown for the keys of deleted clips, over bytes as compressed media have them."""

import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from avf_shards.deletion.name_search import search_files
from avf_shards.deletion.removed_names import RemovedNames

from benchmarks.table import Section

GIGABYTES, PARTS, DELETED, REPEATS = 2, 8, 10_000, 5


def run() -> list[Section]:
    draw = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        paths = [Path(name) / f"s-{number:06d}.tar" for number in range(PARTS)]
        for path in paths:
            path.write_bytes(draw.bytes(GIGABYTES * 1_000_000_000 // PARTS))
        keys = frozenset(f"s-{number:032x}-0000000-0000200-0" for number in range(DELETED))
        names = RemovedNames(keys=keys, digests=frozenset(f"{number:064x}" for number in range(DELETED)))
        speeds = []
        for _ in range(REPEATS):
            start = time.perf_counter()
            searched, holding = search_files(paths, names)
            speeds.append(searched / (time.perf_counter() - start) / 1e9)
            assert not holding
    rows = [
        ["files", "GB", "deleted keys", "GB/s", "target GB/s"],
        [str(PARTS), f"{GIGABYTES}", f"{DELETED:,}", f"{statistics.median(speeds):.2f}", "1"],
    ]
    note = (
        f"Random bytes in the page cache, {len(os.sched_getaffinity(0))} cores; median of {REPEATS} passes. The search is "
        "linear in the bytes, whatever the number of keys."
    )
    return [Section("Search of a takedown", note, rows)]
