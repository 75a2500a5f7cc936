"""The identity of an output folder: the settings of the run that writes to the folder.

The first start writes these settings to a file of the folder. Every later start compares its own settings with the
file, and stops if a setting differs.
"""

import json
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from avf_shards.errors import UserError
from avf_shards.format.manifest import SEALED_SINCE, canonical_json, seal, unseal_versioned
from avf_shards.schema.versions import SCHEMA_VERSION, VERSIONS, FileKind, stamp
from avf_shards.settings.config import difference
from avf_shards.system import durable_io
from avf_shards.system.storage_faults import read_bytes


def freeze_or_refuse(
    file: Path,
    identity: Mapping[str, Any],
    kind: FileKind,
    publish: Callable[[bytes], None] | None,
    refusal: str,
    *,
    derived: Collection[str] = (),
) -> None:
    """Write `identity` to `file` at the first start; later, raise UserError unless the file says the same.

    Args:
        file: A JSON file. Until it exists the folder belongs to nothing.
        identity: What must not change between two starts; plain JSON values.
        kind: What the file is, for its schema version.
        publish: Gives `file` this content all at once, and may raise AlreadyExistsError. None only compares, and
            accepts a file that does not exist yet: for ranks that leave the writing to rank 0.
        refusal: The sentence of the error; a line for each value that differs follows it.
        derived: Keys that follow from the others and are not compared; "recipe.workers" is a key of the table `recipe`.
    """
    values = stamp(json.loads(json.dumps(identity)), kind)  # as the file will give them back: tuples become lists
    if publish is not None and not file.is_file():
        with suppress(durable_io.AlreadyExistsError):  # another process was first: agree with what that one wrote
            publish(seal(dict(identity), kind) if VERSIONS[kind] >= SEALED_SINCE else canonical_json(values))
    if file.is_file():
        before = unseal_versioned(read_bytes(file), kind, str(file))
        compared = (_without(table, {*derived, SCHEMA_VERSION}) for table in (before, values))
        changed = difference(*compared)
        if changed:
            raise UserError(f"{refusal}\n{changed}")


def _without(table: Mapping[str, Any], keys: Collection[str], prefix: str = "") -> dict[str, Any]:
    """Return a table without the keys, of it or of a table within it."""
    rest = {key: value for key, value in table.items() if prefix + key not in keys}
    return {
        key: _without(value, keys, f"{prefix}{key}.") if isinstance(value, dict) else value
        for key, value in rest.items()
    }
