"""A job that curates and packs without measuring anything, on the disk or in an object store, each in a process."""

import os
from pathlib import Path

import pytest
from avf_curation.runs.curation import RunOptions, curate
from avf_curation.stages.stage_timer import StageTimer
from avf_shards.packing.pack import pack_shards
from avf_shards.packing.selection import Selection
from avf_shards.stores.addresses import MIRRORS
from avf_shards.stores.opening import open_location
from avf_shards.system.mirror_registry import forget_mirrors
from avf_shards.system.storage_faults import fetch_content

from support.crash_points import exit_status_in_child, kill_after_operation
from support.curation_runs import EMBEDDED, make_recipe, stub_curate
from support.stages import single_step
from support.trees import file_digests

SETTINGS = make_recipe("plan.unit_videos=1")


class NoModels:
    """Stands for the loaded models, which the stub for measuring does not need."""

    def __init__(self, *_: object) -> None:
        self.clock = StageTimer()


def without_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let workers load no model and test no library."""
    monkeypatch.setattr("avf_curation.pipeline.self_test.Detectors", NoModels)
    monkeypatch.setattr("avf_curation.execution.worker.check_tools", lambda detectors, settings: None)


def run_job(source: Path | str, out: Path | str) -> None:
    """Curate and pack into OUT/run and OUT/shards."""
    run_folder, shards = open_location(f"{out}/run"), open_location(f"{out}/shards")
    options = RunOptions(engine="inline", stages=single_step(stub_curate))
    run = curate(SETTINGS, EMBEDDED, {"made": open_location(source)}, run_folder, options)
    pack_shards(run, shards, Selection(clips_per_shard=3))


def job_in_process(source: Path | str, out: str, mirrors: Path, dies_after: int = 0) -> int:
    """Return the exit status of a process that does the job, and dies after an operation of this number."""

    def work() -> None:
        os.environ[MIRRORS] = str(mirrors)
        with kill_after_operation(dies_after):
            run_job(source, out)

    return exit_status_in_child(work)


def digests_in_store(out: str, mirrors: Path) -> dict[str, str]:
    """Return the digests of what the store holds, read by a machine that knows nothing of it."""
    before, os.environ[MIRRORS] = os.environ[MIRRORS], str(mirrors)
    folders = [open_location(f"{out}/{name}") for name in ("run", "shards")]
    fetch_content(*(path for folder in folders for path in folder.rglob("*") if path.is_file()))
    digests = file_digests(folders[0].parent)
    forget_mirrors()
    os.environ[MIRRORS] = before
    return {name: digest for name, digest in digests.items() if not name.startswith(".")}  # the mirror's own notes
