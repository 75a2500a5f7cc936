"""The identity of a curation run, RUN/run/run.json: every result of the run depends on these values alone."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from avf_shards.format.content import Content
from avf_shards.format.manifest import unseal_versioned
from avf_shards.schema.fields import Fields
from avf_shards.system.storage_faults import read_bytes


@dataclass(frozen=True, kw_only=True)
class RunIdentity:
    """The values of run.json."""

    fingerprint: str  # digest of settings, backends, device, weights and versions
    settings: dict[str, Any]  # of the recipe, with every default written out
    backends: dict[str, str]  # stage -> backend
    device: str  # that detectors run on: cpu, cuda
    weights: dict[str, str]  # model file -> start of its SHA-256
    versions: dict[str, str]  # package -> version; module that decides verdicts or bytes -> start of its SHA-256
    sources: tuple[str, ...]  # names, sorted

    @property
    def content(self) -> Content:
        """What the run is of, and so what its shards hold."""
        return "pictures" if self.settings.get("picture") is not None else "clips"

    @property
    def package_versions(self) -> dict[str, str]:
        """Return package -> version."""
        return {name: version for name, version in self.versions.items() if "/" not in name}

    @property
    def module_digests(self) -> dict[str, str]:
        """Return module that decides verdicts or bytes -> start of its SHA-256; runs of older versions have none."""
        return {name: digest for name, digest in self.versions.items() if "/" in name}

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON object without its schema version."""
        return asdict(self)


def read_run_identity(path: Path) -> RunIdentity:
    """Return the identity in a run.json. Raises UserError for a newer version, FaultError for a damaged file."""
    fields = Fields(unseal_versioned(read_bytes(path), "curation run", str(path)), str(path))
    return RunIdentity(
        fingerprint=fields.text("fingerprint"),
        settings=dict(fields.table("settings").values),
        backends=fields.texts("backends"),
        device=fields.text("device"),
        weights=fields.texts("weights"),
        versions=fields.texts("versions"),
        sources=tuple(fields.text_list("sources")),
    )
