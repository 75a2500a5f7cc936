"""The manifest of a folder: written last, it lists all other files, and holds a digest of its own content."""

import hashlib
import json
from pathlib import Path
from typing import Any

from avf_shards.errors import FaultError, UserError
from avf_shards.schema.versions import FileKind, check_version, stamp

MANIFEST = "manifest.json"
TOMBSTONES = "tombstones"  # key in the manifest: the clips that were deleted


def seal(values: dict[str, Any], kind: FileKind = "shard manifest") -> bytes:
    """Return the bytes of a manifest with the SHA-256 of its own content, so that damage is noticed."""
    return _encode_with_digest(stamp(values, kind))


def unseal(data: bytes, kind: FileKind = "shard manifest") -> dict[str, Any]:
    """Return the values of a manifest. Raises FaultError for damage, UserError for a newer version."""
    try:
        values: dict[str, Any] = json.loads(data)
        content_sha256 = values.pop("self_sha256")
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise FaultError(f"{MANIFEST}: not readable as a manifest ({type(error).__name__})") from None
    if _encode_with_digest(values) != data:
        raise FaultError(f"{MANIFEST}: damaged (its content does not match its digest {str(content_sha256)[:12]}...)")
    check_version(values, kind, MANIFEST)
    return values


def read_manifest(shards: Path) -> dict[str, Any]:
    """Return the manifest of a folder of finished shards. Raises UserError without one, FaultError for damage."""
    if not (shards / MANIFEST).is_file():
        raise UserError(f"{shards}: has no {MANIFEST}; a finished `avf-shards pack RUN --out {shards}` writes it")
    return unseal((shards / MANIFEST).read_bytes())


def _encode_with_digest(values: dict[str, Any]) -> bytes:
    return canonical_json(values | {"self_sha256": hashlib.sha256(canonical_json(values)).hexdigest()})


def canonical_json(values: dict[str, Any]) -> bytes:
    """Return JSON in one spelling: the same values give the same bytes."""
    return (json.dumps(values, indent=1, sort_keys=True) + "\n").encode()
