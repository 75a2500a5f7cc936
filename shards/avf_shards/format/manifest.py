"""A folder's manifest: the last file written, which lists all others and seals itself."""

import hashlib
import json
from pathlib import Path
from typing import Any

from avf_shards.errors import FaultError, UserError

MANIFEST = "manifest.json"
TOMBSTONES = "tombstones"  # in it: clips that were deleted


def seal(manifest: dict[str, Any]) -> bytes:
    """The manifest with the SHA-256 of its own content, so that a flipped byte in it is found too."""
    return canonical_json(manifest | {"self_sha256": hashlib.sha256(canonical_json(manifest)).hexdigest()})


def unseal(data: bytes) -> dict[str, Any]:
    """What the manifest's bytes say. Raises FaultError when they are not as they were written."""
    try:
        values: dict[str, Any] = json.loads(data)
        content_sha256 = values.pop("self_sha256")
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise FaultError(f"{MANIFEST}: not readable as a manifest ({type(error).__name__})") from None
    if seal(values) != data:
        raise FaultError(f"{MANIFEST}: damaged (its content is not what {str(content_sha256)[:12]}... seals)")
    return values


def read_manifest(shards: Path) -> dict[str, Any]:
    """The manifest of a folder of finished shards. Raises UserError without one, FaultError for a damaged one."""
    if not (shards / MANIFEST).is_file():
        raise UserError(f"{shards}: has no {MANIFEST}; a finished `avf-shards pack RUN --out {shards}` writes it")
    return unseal((shards / MANIFEST).read_bytes())


def canonical_json(values: dict[str, Any]) -> bytes:
    """JSON with one spelling."""
    return (json.dumps(values, indent=1, sort_keys=True) + "\n").encode()
