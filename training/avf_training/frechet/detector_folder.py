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

CARD = "detector.json"


def keep_detector(path: Path, out: Path, file_name: str, origin: Mapping[str, str]) -> None:
    """Copy a detector's file into the new folder `out` under its published name, with a card of its origin."""
    temporary = out.with_name(f".{out.name}.unfinished")
    durable_io.remove(temporary)
    try:
        durable_io.make_folder(temporary)
        shutil.copyfile(path, temporary / file_name)
        durable_io.sync_file(temporary / file_name)
        card = stamp(dict(origin), "detector")
        durable_io.write(temporary / CARD, (json.dumps(card, indent=1, sort_keys=True) + "\n").encode())
        durable_io.publish_folder(temporary, out)
    except BaseException:
        durable_io.remove(temporary)
        raise


def detector_file(path: Path, file_name: str) -> Path:
    """Return a detector's file: `path` itself, or the one in the folder `path`. Raises UserError for another folder."""
    if not path.is_dir():
        return path
    if not (path / file_name).is_file():
        raise UserError(f"{path}: holds no {file_name}, which this protocol needs")
    return path / file_name
