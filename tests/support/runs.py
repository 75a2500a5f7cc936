"""Small finished runs whose stages measure nothing."""

import json
from pathlib import Path

from avf_curation.runs.curation import Engine, RunOptions, curate
from avf_shards.format.run_folder import RunFolder
from avf_shards.system.run_lock import marker_values

from support.curation_runs import EMBEDDED, make_recipe, stub_curate
from support.stages import single_step


def make_inputs(folder: Path, videos: int) -> Path:
    """Write a source of input files with different contents; return its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(videos):
        (folder / f"{number:03d}.mp4").write_bytes(f"input {number}".encode())
    return folder


def make_run(folder: Path, videos: int = 3, unit_videos: int = 2, engine: Engine = "inline") -> RunFolder:
    """Curate a source; return the finished run, which has two clips for each video."""
    source = make_inputs(folder / "in", videos)
    settings = make_recipe(f"plan.unit_videos={unit_videos}", "silence.speech_backend=none")
    return curate(
        settings, EMBEDDED, {"made": source}, folder / "run", RunOptions(engine=engine, stages=single_step(stub_curate))
    )


def write_coordinator_marker(run: RunFolder, pid: int, number: int = 1, **other: object) -> Path:
    """Write the marker of a coordinator process with number `pid`, with some values replaced; return its path."""
    path = run.log_folder / f"coordinator-{number:06d}.json"
    path.write_text(json.dumps(marker_values(pid) | other))
    return path
