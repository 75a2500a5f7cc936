"""Manifests: a manifest is written last into a folder, lists the other files, and holds a digest of its own content."""

import hashlib
import json
from typing import Any

from avf_shards.errors import FaultError
from avf_shards.schema.versions import (
    SCHEMA_VERSION,
    FileKind,
    check_version,
    parse_json,
    refuse_newer_version,
    stamp,
)

MANIFEST = "manifest.json"


def seal(values: dict[str, Any], kind: FileKind) -> bytes:
    """Return the bytes of a manifest with the SHA-256 of its own content, so that damage is noticed."""
    return _encode_with_digest(stamp(values, kind))


def unseal(data: bytes, kind: FileKind, where: str) -> dict[str, Any]:
    """Return the values of a manifest; `where` names the file in messages.

    Raises FaultError for damage, UserError for a newer version.
    """
    values = parse_json(data, None, where)
    # A newer version may compute its digest in another way, so this is checked first.
    refuse_newer_version(values, kind, where)
    content_sha256 = str(values.pop("self_sha256", None))
    if _encode_with_digest(values) != data:
        raise FaultError(f"{where}: damaged (the SHA-256 of its content is not the recorded {content_sha256[:12]}...)")
    check_version(values, kind, where)
    return values


SEALED_SINCE = 2
"""Version from which run.json, plan.json and unit.json hold a digest of their own content."""


def unseal_versioned(data: bytes, kind: FileKind, where: str) -> dict[str, Any]:
    """Return the values of a file that is sealed since version 2; a file of version 1 is accepted without a digest.

    Raises as `unseal`.
    """
    values = parse_json(data, kind, where)
    content_sha256 = str(values.pop("self_sha256", None))
    if values[SCHEMA_VERSION] >= SEALED_SINCE and _encode_with_digest(values) != data:
        raise FaultError(f"{where}: damaged (the SHA-256 of its content is not the recorded {content_sha256[:12]}...)")
    return values


def _encode_with_digest(values: dict[str, Any]) -> bytes:
    return canonical_json(values | {"self_sha256": hashlib.sha256(canonical_json(values)).hexdigest()})


def canonical_json(values: dict[str, Any]) -> bytes:
    """Return JSON in one spelling: the same values give the same bytes."""
    return (json.dumps(values, indent=1, sort_keys=True) + "\n").encode()
