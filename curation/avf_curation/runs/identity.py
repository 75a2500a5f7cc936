"""The identity of a run: settings, weights, versions and code, with a digest of them as its fingerprint.

Paths and workers are no part of the identity, because no result depends on them.
"""

import functools
import hashlib
import importlib.metadata
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from avf_shards.errors import FaultError, UserError
from avf_shards.format.frozen_identity import freeze_or_refuse
from avf_shards.format.run_folder import RunFolder
from avf_shards.format.run_identity import RunIdentity
from avf_shards.schema.fields import Fields
from avf_shards.schema.versions import read_json, stamp
from avf_shards.stores.opening import address_of, open_location
from avf_shards.system.named_writes import write_text
from avf_shards.system.temporary_folder import is_temporary_folder

from avf_curation.detectors.detector_set import BackendSelection
from avf_curation.recipe import Recipe
from avf_curation.runs.deciding_modules import code_digests
from avf_curation.sources.stored_inputs import is_read_by_unit

SOURCES_FILE = "sources.json"
# The packages whose arithmetic decides scores, cuts or bytes.
PACKAGES = (
    "av",
    "avf-foundry",
    "dlib-bin",
    "numpy",
    "opencv-python-headless",
    "scenedetect-headless",
    "scipy",
    "soundfile",
)

PICTURE_PACKAGES = ("pillow", "simplejpeg")  # of runs of pictures, in addition
TORCH_PACKAGES = ("torch", "torchvision")  # of runs with a network that torch calculates, in addition
_TORCH_NETWORKS = frozenset({"retinaface", "syncnet", "lr_asd"})


@functools.cache
def _version_of(package: str) -> str:
    """Return the version of an installed package. Its metadata are read once: they have hundreds of kilobytes."""
    return importlib.metadata.version(package)


def run_identity(recipe: Recipe, backends: BackendSelection, sources: list[str], device: str = "cpu") -> RunIdentity:
    """Return the identity of a run with these settings."""
    packages = [*PACKAGES, *(PICTURE_PACKAGES if recipe.content == "pictures" else ())]
    packages += TORCH_PACKAGES if _TORCH_NETWORKS & backends.weights.keys() else ()
    added = recipe.defaults.added_stages
    values: dict[str, Any] = {
        "settings": recipe.values,
        "backends": backends.names() | {each.stage.name: each.package for each in added},
        "device": device,
        "weights": backends.weight_digests(),
        "versions": {name: _version_of(name) for name in packages} | code_digests(recipe.content),
    }
    for each in added:
        values["versions"] |= each.versions
    values["versions"] |= {finder.project: finder.version for finder in backends.added}
    digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]
    return RunIdentity(**values, fingerprint=digest, sources=tuple(sorted(sources)))


def freeze_identity(run: RunFolder, identity: RunIdentity) -> None:
    """Write run.json at the first start. Raises UserError with the difference if a later start has another identity."""
    if run.root.exists() and not run.root.is_dir():
        raise UserError(f"--out {run.root}: is a file, not a folder")

    def publish(data: bytes) -> None:
        if run.root.is_dir() and any(not _is_own(path) for path in run.root.iterdir()):
            raise UserError(f"--out {run.root}: not empty and not a run; name a new or empty folder")
        run.publish("identity", run.root / "run", {"run.json": data})

    refusal = (
        f"--out {run.root}: holds a run with other settings, or of other code; use another folder, or the same "
        "settings and version. What differs, before -> now:"
    )
    freeze_or_refuse(run.identity_file, identity.as_dict(), "curation run", publish, refusal, derived=("fingerprint",))


def _is_own(path: Path) -> bool:
    """Return whether a run that was killed before its first commit may have left this path."""
    return path.name == "log" or (path.name == "tmp" and is_temporary_folder(path))


def remember_roots(run: RunFolder, roots: Mapping[str, Path]) -> None:
    """Write to the log folder where the sources are on this machine: reports take their frames from there."""
    run.log_folder.mkdir(parents=True, exist_ok=True)
    values = stamp({"folders": {name: address_of(root) or str(root) for name, root in roots.items()}}, "source folders")
    write_text(run.log_folder / SOURCES_FILE, json.dumps(values, indent=1))


def remembered_roots(run: RunFolder, *, pulls: bool = False) -> dict[str, Path]:
    """Return what `remember_roots` wrote, or nothing where the file is gone or damaged: paths can be given again.

    Raises UserError for the file of a newer version.

    Args:
        pulls: bring sources in object stores up to date, as far as names, sizes and times go.
    """
    path = run.log_folder / SOURCES_FILE
    try:
        fields = Fields(read_json(path, "source folders"), str(path))
        folders = fields.texts("folders")
        for root in folders.values():
            os.fsencode(root)
    except (OSError, FaultError, UnicodeEncodeError):
        return {}
    named = {name: root for name, root in folders.items() if "\0" not in root}
    return {name: open_location(root, is_read_by_unit, pulls=pulls) for name, root in named.items()}
