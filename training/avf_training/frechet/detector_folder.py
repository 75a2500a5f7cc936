"""The folder of a detector that `avf-train weights pull` has kept: its file as published, and where it came from.

DIR/FILE            under the name that its protocol knows
DIR/detector.json   name, from, sha256, owner, licence
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from avf_shards.errors import UserError
from avf_shards.schema.versions import stamp
from avf_shards.system import durable_io
from avf_shards.system.new_folder import write_new_folder

CARD = "detector.json"


def keep_detector(path: Path, out: Path, file_name: str, origin: Mapping[str, str]) -> None:
    """Copy a detector's file into the new folder `out` under its published name, with a card of its origin.

    Raises UserError where `out` exists.
    """
    with write_new_folder(out) as folder:
        shutil.copyfile(path, folder / file_name)
        durable_io.sync_file(folder / file_name)
        card = stamp(dict(origin), "detector")
        durable_io.write(folder / CARD, (json.dumps(card, indent=1, sort_keys=True) + "\n").encode())


def detector_file(path: Path, file_name: str) -> Path:
    """Return a detector's file: `path` itself, or the one in the folder `path`. Raises UserError for another folder."""
    if not path.is_dir():
        return path
    if not (path / file_name).is_file():
        raise UserError(f"{path}: holds no {file_name}, which this protocol needs")
    return path / file_name
