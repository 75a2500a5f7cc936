"""Shards on a web server, which can only be read: their manifest stands for the listing that there is none of."""

from pathlib import Path
from typing import NoReturn

from avf_shards.errors import UserError
from avf_shards.format.index import sidecar_path
from avf_shards.format.manifest import MANIFEST
from avf_shards.format.shard_manifest import ShardManifest
from avf_shards.stores.object_store import ObjectStore, StoredObject

_OTHERS = ("pack.json", "selection.parquet")  # beside the shards


class WebShards:
    """The `ObjectStore` of a folder of shards at http:// or https://; what writes raises UserError."""

    def __init__(self, files: ObjectStore) -> None:
        """Read through `files`, whose `find` is not asked."""
        self._files, self.address = files, files.address

    def find(self, prefix: str = "") -> list[StoredObject]:
        data = self._files.read(MANIFEST)
        if data is None:
            raise UserError(f"{self.address}: has no {MANIFEST}; on a web server, name a folder of shards")
        manifest = ShardManifest.from_json(data, f"{self.address}/{MANIFEST}")
        shards = [entry.shard for entry in manifest.shards]
        names = [MANIFEST, *_OTHERS, *shards, *(sidecar_path(Path(shard)).name for shard in shards)]
        items = (self.look_up(name) for name in names if name.startswith(prefix))
        return [item for item in items if item is not None]

    def look_up(self, key: str) -> StoredObject | None:
        return self._files.look_up(key) if key else None

    def read(self, key: str) -> bytes | None:
        return self._files.read(key)

    def read_range(self, key: str, start: int, stop: int) -> bytes:
        return self._files.read_range(key, start, stop)

    def create(self, key: str, data: bytes) -> bool:
        self._refuse()

    def create_from_file(self, key: str, path: Path) -> bool:
        self._refuse()

    def write(self, key: str, data: bytes) -> None:
        self._refuse()

    def write_from_file(self, key: str, path: Path) -> None:
        self._refuse()

    def delete(self, key: str) -> None:
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise UserError(f"{self.address}: a web server can only be read; name a folder, or an address of a store")
