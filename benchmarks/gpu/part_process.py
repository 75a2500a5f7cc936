"""Process of one part: `python -m benchmarks.gpu.part_process PART --out DIR` runs it and writes its JSON file.

A part has a process of its own, so that an error on the device, after which CUDA refuses all work, ends it alone.
"""

import argparse
import time
from pathlib import Path

import torch

from benchmarks.gpu.facts import device_facts
from benchmarks.gpu.parts import find_part
from benchmarks.gpu.results import DRY_RUN, Row, write_result
from benchmarks.gpu.settings import Settings


def run_part(name: str, settings: Settings, out: Path) -> None:
    """Run a part; its file is written after each row, so that a part that is stopped keeps what it has measured."""
    if settings.tiny:
        torch.set_num_threads(1)  # on a busy machine, threads that wait for each other are slower than one
    start_s, facts = time.perf_counter(), {**device_facts(settings.device), DRY_RUN: settings.tiny}
    tables: dict[str, list[Row]] = {}
    for title, row in find_part(name).load()(settings):
        tables.setdefault(title, []).append(row)
        write_result(out, name, tables, facts=facts, seconds=time.perf_counter() - start_s, done=False)
    write_result(out, name, tables, facts=facts, seconds=time.perf_counter() - start_s, done=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Run one part and write its JSON file.")
    parser.add_argument("part", help="name of the part")
    parser.add_argument("--out", type=Path, required=True, help="folder of the JSON files")
    parser.add_argument("--device", required=True, help="cuda or cpu")
    parser.add_argument("--tiny", action="store_true", help="smallest models and few steps")
    options = parser.parse_args()
    run_part(options.part, Settings(device=options.device, tiny=options.tiny), options.out)


if __name__ == "__main__":
    main()
