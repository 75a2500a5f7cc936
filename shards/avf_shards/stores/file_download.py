"""Download one file from an address of a web server or a store, by ranges of bytes."""

from collections.abc import Callable
from pathlib import Path

from avf_shards.errors import UserError
from avf_shards.stores.fsspec_store import FsspecStore
from avf_shards.system.named_writes import append_bytes, write_bytes

_RANGE_BYTES = 1 << 24


def download_file(address: str, path: Path, progress: Callable[[int, int], None] = lambda done, total: None) -> None:
    """Write the file at `address` to `path`, over what stands there.

    Args:
        progress: called with the bytes received and the bytes in all.

    Raises UserError where there is no such file, for a page where a file was expected, and for a file that changed
    meanwhile; StoreError and RefusedError as `FsspecStore`.
    """
    folder, _, name = address.rpartition("/")
    store = FsspecStore(folder)
    described = store.look_up(name) if name else None
    if described is None:
        raise UserError(f"{address}: there is no such file")
    if not described.size_bytes:
        raise UserError(f"{address}: the server does not say how long the file is; save it with a browser")
    write_bytes(path, b"")
    for start in range(0, described.size_bytes, _RANGE_BYTES):
        data = store.read_range(name, start, min(start + _RANGE_BYTES, described.size_bytes))
        if start == 0 and data.lstrip()[:1] == b"<":
            raise UserError(f"{address}: is a page and not the file; open it in a browser, and name the file it saves")
        with append_bytes(path) as file:
            file.write(data)
        progress(start + len(data), described.size_bytes)
    now = store.look_up(name)
    if now is None or (now.size_bytes, now.version) != (described.size_bytes, described.version):
        raise UserError(f"{address}: changed while it was downloaded; start the same command again")
