"""A source of four demo videos, and the command that curates a source on Ray."""

import sys
from pathlib import Path

from support.curation_runs import EMBEDDED_SETTINGS
from support.demo_files import DemoFiles

QUICK_SETTINGS = (
    "plan.unit_videos=1",
    "plan.min_units=1",
    "faces.side_px=300",
    "track.side_px=300",
    "silence.speech_backend=none",  # the voices are drawn
    *EMBEDDED_SETTINGS,
)


def copy_demo_videos(corpus: DemoFiles, folder: Path) -> Path:
    """Copy four files of the demo corpus into `folder`; return the folder."""
    for name in ("studio/talk_0.mp4", "studio/talk_1.mp4", "archive/truncated.mp4", "archive/notes.mp4"):
        (folder / Path(name).name).write_bytes(corpus.draw(name).read_bytes())
    return folder


def curate_command(source: Path, out: Path, workers: int) -> list[str]:
    """Return the command line of `avf-curate run` with quick settings."""
    return [
        sys.executable,
        "-m",
        "avf_curation.cli.main",
        *("run", "--source", f"s={source}", "--out", str(out)),
        *(word for setting in QUICK_SETTINGS for word in ("--set", setting)),
        *("--workers", str(workers), "--weights", str(out.parent / "none")),
    ]
