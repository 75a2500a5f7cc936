"""Contents in a store that no committed folder names: of processes that died, or that came second."""

import uuid

from avf_shards.stores.mirror import StoreMirror
from avf_shards.stores.object_names import is_part
from avf_shards.system import durable_io

MIN_AGE_S = 86_400.0  # by the store's own clock; a process that is about to name a content has written it just now


def find_orphans(mirror: StoreMirror, min_age_s: float = MIN_AGE_S) -> dict[str, int]:
    """Return key -> bytes of the contents that no committed folder names and that are older than `min_age_s`.

    Raises as `ObjectStore`.
    """
    parts = [item for item in mirror.store.find() if is_part(item.key)]
    if not parts:
        return {}
    mirror.refresh()
    named = mirror.memory.named_parts()
    written_before_ns = _store_time_ns(mirror) - min_age_s * 1e9
    return {
        part.key: part.size_bytes for part in parts if part.key not in named and part.modified_ns < written_before_ns
    }


def remove_orphan(mirror: StoreMirror, key: str) -> None:
    """Delete a content that `find_orphans` returned."""
    mirror.store.delete(key)
    durable_io.notify("delete an object", mirror.folder / key)


def _store_time_ns(mirror: StoreMirror) -> int:
    """Return the time by the clock that stamps objects, which is nobody's here."""
    key = f"clock-{uuid.uuid4().hex}"
    mirror.store.write(key, b"")
    item = mirror.store.look_up(key)
    mirror.store.delete(key)
    return item.modified_ns if item else 0
