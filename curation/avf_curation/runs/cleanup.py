"""What dead processes left in a run's folder, and nothing else: no result, no log."""

import os
from pathlib import Path

from avf_shards import durable_io
from avf_shards.errors import UserError
from avf_shards.format.run_folder import RunFolder

from avf_curation.runs.coordinator import active_coordinator, read_records


def find_garbage(run: RunFolder) -> dict[Path, int]:
    """Path -> bytes. Raises UserError while a coordinator is at work: what looks dead may be its own."""
    coordinator = active_coordinator(run)
    if coordinator is not None:
        raise UserError(f"{run.root}: {coordinator} is at work on it; wait for it or stop it")
    temporary = run.root / "tmp"
    paths = sorted(temporary.iterdir()) if temporary.is_dir() else []
    paths += [marker.path for marker in read_records(run)]
    for pattern in ("claim-*", "clock-*"):
        paths += sorted(run.log_folder.glob(pattern))
    return {path: _bytes(path) for path in paths}


def remove_garbage(found: dict[Path, int]) -> None:
    """Remove them."""
    for path in found:
        durable_io.remove(path)


def _bytes(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(os.path.getsize(os.path.join(below, name)) for below, _, names in os.walk(path) for name in names)
