"""Does a store honour conditional writes? Everything that is committed to a store rests on them (ADR 30)."""

import hashlib
import uuid
from contextlib import suppress

from avf_shards.errors import UserError
from avf_shards.stores.object_store import ObjectStore
from avf_shards.stores.stored_folder import PARTS


class ConditionalWrites:
    """What a process knows of the conditional writes of a store."""

    def __init__(self, store: ObjectStore) -> None:
        """Prepare; nothing is asked of the store yet."""
        self._store = store
        self.is_known = False  # whether the store has shown that it honours them

    def require(self) -> None:
        """Ask the store once: create one object twice and delete it; nothing else is written.

        Its key is that of a content that no folder names: other processes pass over it, and `avf-curate gc` removes
        what a killed process leaves.

        Raises UserError where the second write took the place of the first.
        """
        if self.is_known:
            return
        key = f"{PARTS}/{hashlib.sha256(uuid.uuid4().bytes).hexdigest()}"
        self._store.create(key, b"first")
        was_replaced = self._store.create(key, b"second")
        with suppress(OSError):  # an account that may not delete leaves a few bytes
            self._store.delete(key)
        if was_replaced:
            raise UserError(
                f"{self._store.address}: this store writes over an object that was only to be made (it passes over "
                "If-None-Match: * on PUT), so two processes could commit one unit; name a folder of this machine and "
                "copy it there afterwards, or a store that honours conditional writes"
            )
        self.is_known = True
