"""Take deleted clips out of SHARDS/selection.parquet.

The manifest holds the digest of that file. The new file is published beside it, under a name from its digest; a commit
of the manifest puts it into force, and then it takes the name. After a kill, the digest in the manifest tells which of
the two counts.
"""

import hashlib
import re
from collections.abc import Collection, Iterator

import pyarrow as pa
import pyarrow.compute as pc

from avf_shards.errors import FaultError
from avf_shards.format.denylist import Denylist
from avf_shards.format.generations import ShardWriter
from avf_shards.format.tar import sha256_file
from avf_shards.packing.pack import SELECTED
from avf_shards.schema import ledger
from avf_shards.schema.versions import read_parquet
from avf_shards.system import durable_io

_BESIDE = re.compile(r"selection-[0-9a-f]{16}\.parquet")


def publish_selection_without(writer: ShardWriter, sha256: str, gone: Collection[str], denylist: Denylist) -> str:
    """Publish the selection without clips that were deleted or are forbidden beside the old one; return its SHA-256.

    Returns `sha256` where nothing is to be taken out, or the file is missing or damaged, which `verify` reports.

    Args:
        sha256: of the selection in force, as the manifest has it.
        gone: keys of deleted clips.
    """
    path = writer.shards / SELECTED
    if not path.is_file() or sha256_file(path) != sha256:
        return sha256
    try:
        table = read_parquet(path, "selection")
    except FaultError:
        return sha256
    keys = pa.array(sorted({*gone, *_denied_keys(table, denylist)}), pa.string())
    is_left = pc.invert(pc.is_in(table["key"], value_set=keys))
    is_named = pc.is_in(table["duplicate_of"], value_set=keys)
    if pc.all(is_left).as_py() is not False and not pc.any(is_named).as_py():
        return sha256
    names = pc.if_else(is_named, pa.scalar(None, pa.string()), table["duplicate_of"])
    position = table.column_names.index("duplicate_of")
    left = table.set_column(position, table.schema.field(position), names).filter(is_left)
    data = ledger.encode_ledger(left)
    digest = hashlib.sha256(data).hexdigest()
    name = _name(digest)
    durable_io.write(writer.temporary / name, data)
    writer.check()
    durable_io.publish_file(writer.temporary / name, writer.shards / name)
    return digest


def _denied_keys(table: pa.Table, denylist: Denylist) -> Iterator[str]:
    for name in ("key", "duplicate_of"):
        for chunk in table[name].chunks:
            yield from (key for key in chunk.drop_null().to_pylist() if denylist.denies_key(key))


def settle_selection(writer: ShardWriter, sha256: str) -> None:
    """Give the selection that the manifest has in force its name, and remove those of writers that were killed."""
    beside = [path for path in sorted(writer.shards.iterdir()) if _BESIDE.fullmatch(path.name)]
    for path in beside:
        if path.name == _name(sha256):
            writer.check()
            durable_io.replace_by(path, writer.shards / SELECTED)
        else:
            writer.remove(path)


def _name(sha256: str) -> str:
    return f"selection-{sha256[:16]}.parquet"
