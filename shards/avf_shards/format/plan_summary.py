"""The summary of a plan, RUN/attempt-N/plan/plan.json: which inputs the run decides, and when it was planned.

Together with run.json, which says the settings, it tells two runs apart.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from avf_shards.format.manifest import seal, unseal_versioned
from avf_shards.schema.fields import Fields
from avf_shards.system.storage_faults import read_bytes


@dataclass(frozen=True, kw_only=True)
class PlanSummary:
    """The values of plan.json."""

    name: str  # of the run: the last two parts of its folder's path when it was planned, as "lab/run"
    planned: str  # date and time in UTC, as 2026-01-31T14:30:00Z
    videos: int  # inputs of the plan
    skipped_inputs: int  # files that lie under the sources and are no inputs
    inputs_sha256: str  # of the source, id and size of every input
    file_sha256: dict[str, str] = field(default_factory=dict)  # of the plan's other files, by name; empty: version 1

    def to_json(self) -> bytes:
        """Return the content of the file."""
        return seal(asdict(self), "plan summary")

    @classmethod
    def read(cls, path: Path) -> "PlanSummary":
        """Return the summary in a file. Raises UserError for a newer version, FaultError for a damaged file."""
        fields = Fields(unseal_versioned(read_bytes(path), "plan summary", str(path)), str(path))
        return cls(
            name=fields.text("name"),
            planned=fields.text("planned"),
            videos=fields.integer("videos"),
            skipped_inputs=fields.integer("skipped_inputs"),
            inputs_sha256=fields.text("inputs_sha256"),
            file_sha256=fields.texts("file_sha256") if "file_sha256" in fields.values else {},
        )


def digest_inputs(inputs: Iterable[tuple[str, str, int]]) -> str:
    """Return the SHA-256 of (source, video id, size in bytes) of every input, whatever their order."""
    digest = hashlib.sha256()
    for source, video_id, size_bytes in sorted(inputs):
        digest.update(f"{source}\0{video_id}\0{size_bytes}\n".encode())
    return digest.hexdigest()
