"""A small real source, and the command that curates it on Ray."""

import sys
from pathlib import Path

QUICK = ("plan.unit_videos=1", "faces.side_px=300", "track.side_px=300")


def linked(corpus: Path, folder: Path) -> Path:
    """A source of links to four files of the demo corpus."""
    for name in ("studio/talk_0.mp4", "studio/talk_1.mp4", "archive/truncated.mp4", "archive/notes.mp4"):
        (folder / Path(name).name).symlink_to(corpus / name)
    return folder


def command(source: Path, out: Path, workers: int) -> list[str]:
    return [
        sys.executable,
        "-m",
        "avf_curation.cli.main",
        *("run", "--source", f"s={source}", "--out", str(out)),
        *(word for setting in QUICK for word in ("--set", setting)),
        *("--workers", str(workers), "--weights", str(out.parent / "none")),
    ]
