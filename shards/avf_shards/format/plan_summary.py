"""The summary of a plan, RUN/attempt-N/plan/plan.json: which inputs the run decides, and when it was planned.

Together with run.json, which says the settings, it tells two runs apart.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from avf_shards.schema.fields import Fields
from avf_shards.schema.versions import read_json, stamp


@dataclass(frozen=True, kw_only=True)
class PlanSummary:
    """The values of plan.json."""

    name: str  # of the run: the last two parts of its folder's path when it was planned, as "lab/run"
    planned: str  # date and time in UTC, as 2026-01-31T14:30:00Z
    videos: int  # inputs of the plan
    skipped_inputs: int  # files that lie under the sources and are no inputs
    inputs_sha256: str  # of the source, id and size of every input

    def to_json(self) -> bytes:
        """Return the content of the file."""
        return (json.dumps(stamp(asdict(self), "plan summary"), sort_keys=True) + "\n").encode()

    @classmethod
    def read(cls, path: Path) -> "PlanSummary":
        """Return the summary in a file. Raises UserError for a newer version, FaultError for a damaged file."""
        fields = Fields(read_json(path, "plan summary"), str(path))
        return cls(
            name=fields.text("name"),
            planned=fields.text("planned"),
            videos=fields.integer("videos"),
            skipped_inputs=fields.integer("skipped_inputs"),
            inputs_sha256=fields.text("inputs_sha256"),
        )


def digest_inputs(inputs: Iterable[tuple[str, str, int]]) -> str:
    """Return the SHA-256 of (source, video id, size in bytes) of every input, whatever their order."""
    digest = hashlib.sha256()
    for source, video_id, size_bytes in sorted(inputs):
        digest.update(f"{source}\0{video_id}\0{size_bytes}\n".encode())
    return digest.hexdigest()
