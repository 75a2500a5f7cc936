"""Small finished runs without any measuring."""

from pathlib import Path

from avf_curation.runs.curation import RunOptions, curate
from avf_shards.format.run_folder import RunFolder

from support.curation_runs import EMBEDDED, recipe, stub_curate
from support.stages import single_step


def made_inputs(folder: Path, videos: int) -> Path:
    """A source of files that are all different."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(videos):
        (folder / f"{number:03d}.mp4").write_bytes(f"input {number}".encode())
    return folder


def made_run(folder: Path, videos: int = 3, unit_videos: int = 2, engine: str = "inline") -> RunFolder:
    """A finished run with two clips per video."""
    source = made_inputs(folder / "in", videos)
    settings = recipe(f"plan.unit_videos={unit_videos}")
    return curate(
        settings, EMBEDDED, {"made": source}, folder / "run", RunOptions(engine=engine, stages=single_step(stub_curate))
    )
