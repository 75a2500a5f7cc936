"""A run's folder, the same for every stage.

RUN/run.json          what this run is; a folder holds one run
RUN/checkpoints/      see checkpoint.py
RUN/metrics.jsonl     one object a step; RUN/speed.jsonl: one every few steps
RUN/tensorboard/      the same, and pictures
RUN/model/            the model, when the last step is done
"""

import json
from pathlib import Path
from typing import Any

from avf_shards import seam
from avf_shards.errors import UserError
from avf_shards.settings import difference

RUN, MODEL = "run.json", "model"


def freeze(out: Path, identity: dict[str, Any], rank: int) -> None:
    """Record what this folder's run is, or refuse when it is another. Raises UserError with the difference."""
    now = json.loads(json.dumps(identity))
    if (out / RUN).is_file():
        changed = difference(json.loads((out / RUN).read_text("utf-8")), now)
        if changed:
            raise UserError(f"{out}: holds a run with other settings; use another folder\n{changed}")
    elif rank == 0:
        seam.make_folder(out)
        seam.remove(out / f".{RUN}")  # of a process that died here
        seam.write(out / f".{RUN}", (json.dumps(now, indent=1) + "\n").encode())
        seam.publish_file(out / f".{RUN}", out / RUN)
