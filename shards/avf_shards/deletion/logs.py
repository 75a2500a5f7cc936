"""Take the names of removed videos out of RUN/log: logs say what a worker was at, and no result depends on them."""

import hashlib
import os
from pathlib import Path

from avf_shards.deletion.name_search import search_files
from avf_shards.deletion.removed_names import RemovedNames
from avf_shards.format.run_folder import COORDINATOR, RunFolder
from avf_shards.system import durable_io
from avf_shards.system.run_lock import lock_files
from avf_shards.system.storage_faults import open_plain


def redact_logs(run: RunFolder, names: RemovedNames) -> None:
    """Replace the names in the run's logs by a hash. The caller holds the lock of the run, so nothing is written."""
    own = set(lock_files(run.log_folder, COORDINATOR))
    paths = [Path(folder, name) for folder, _, files in os.walk(run.log_folder) for name in files]
    paths = [path for path in paths if path not in own and not path.is_symlink()]
    _, holding = search_files(paths, names)
    if not holding:
        return
    temporary = run.temporary("log")
    for path in sorted(holding):
        with open(path, "rb", opener=open_plain) as old, durable_io.Writer(temporary / path.name) as new:
            for line in old:
                new.write(_redact(line, names))
        durable_io.replace_by(temporary / path.name, path)
    run.clear_temporary()


def _redact(line: bytes, names: RemovedNames) -> bytes:
    for text, pattern in names.texts.items():
        if text in line:
            line = pattern.sub(_stand_in(text), line)
    for name in names.keys | names.digests:
        line = line.replace(name.encode(), _stand_in(name.encode()))
    return line


def _stand_in(name: bytes) -> bytes:
    """Return what a log has in place of a name: different names stay different."""
    return b"taken-down-" + hashlib.sha256(name).hexdigest()[:12].encode()
