"""Find and remove what dead processes left in a run's folder. Results and logs are never touched."""

import logging
import os
from pathlib import Path

from avf_shards.errors import UserError
from avf_shards.format.run_folder import COORDINATOR, RunFolder
from avf_shards.stores.object_names import is_part
from avf_shards.stores.opening import store_mirror
from avf_shards.stores.orphans import find_orphans, remove_orphan
from avf_shards.system import durable_io
from avf_shards.system.run_lock import lock_files
from avf_shards.system.temporary_folder import MARKER, is_temporary_folder

from avf_curation.runs.coordinator import active_coordinator

log = logging.getLogger(__name__)


def find_garbage(run: RunFolder) -> dict[Path, int]:
    """Return path -> bytes of temporary folders, markers and claims that no process needs.

    Of a run in an object store also the contents that no unit names, if they are older than a day.

    Raises UserError while a coordinator is at work, because what looks left behind may be in use.
    """
    coordinator = active_coordinator(run)
    if coordinator is not None:
        raise UserError(f"{run.root}: {coordinator} is at work on it; wait for it or stop it")
    temporary = run.root / "tmp"
    paths = sorted(temporary.iterdir()) if is_temporary_folder(temporary) else []
    paths = [path for path in paths if path.name != MARKER]
    paths += lock_files(run.log_folder, COORDINATOR)
    sizes = {path: _size_bytes(path) for path in paths}
    mirror = store_mirror(run.root)
    return sizes if mirror is None else sizes | {run.root / key: size for key, size in find_orphans(mirror).items()}


def remove_garbage(run: RunFolder, garbage: dict[Path, int]) -> None:
    """Remove the paths that `find_garbage` returned. Raises UserError when a coordinator began its work since."""
    mirror = store_mirror(run.root)
    with run.lock() as lock:
        for path in garbage:
            if mirror is not None and is_part(path.relative_to(run.root).as_posix()):
                remove_orphan(mirror, path.relative_to(run.root).as_posix())
            elif path != lock.marker:  # which has the number of a marker that another process removed meanwhile
                log.info("removing %s", path)
                durable_io.remove(path)
        run.clear_temporary()


def _size_bytes(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(os.path.getsize(os.path.join(folder, name)) for folder, _, names in os.walk(path) for name in names)
