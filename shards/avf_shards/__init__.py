"""The contract between curation and training: clip records, ledger, shard format, packing, verification, stream order.

To read the clips of a folder of shards in Python:

    from pathlib import Path
    from avf_shards import ClipRecord, ShardReader, read_manifest

    shards = Path("shards")
    for entry in read_manifest(shards).shards:
        with ShardReader(shards / entry.shard) as reader:
            for key, payloads in reader.clips():
                record = ClipRecord.from_json(payloads["json"], key)
                video, audio = payloads["mp4"], payloads["flac"]

Needs the standard library, numpy and pyarrow, nothing else. The names are imported when they are first used, so that
`import avf_shards` loads neither.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from avf_shards.errors import DeletedClipError, FaultError, UserError
    from avf_shards.format.corpus import Corpus, load_corpus
    from avf_shards.format.index import ShardIndex, ShardReader, load_index
    from avf_shards.format.picture_record import PictureRecord, StoredPicture, read_stored_picture
    from avf_shards.format.run_folder import RunFolder
    from avf_shards.format.shard_manifest import ShardManifest, read_manifest
    from avf_shards.packing.pack import pack_shards
    from avf_shards.packing.selection import Selection
    from avf_shards.packing.verify import verify_shards
    from avf_shards.sampling.mixture import Mixture
    from avf_shards.sampling.stream_order import StreamOrder
    from avf_shards.schema.clip_record import ClipRecord
    from avf_shards.schema.forgery import ForgedSegment, Forgery
    from avf_shards.schema.frame_labels import FrameLabels, SourceFrames
    from avf_shards.schema.labels import Labels
    from avf_shards.schema.ledger import Check, Decision, read_ledger, table_to_decisions
    from avf_shards.timeline import Span

__all__ = [
    "Check",
    "ClipRecord",
    "Corpus",
    "Decision",
    "DeletedClipError",
    "FaultError",
    "ForgedSegment",
    "Forgery",
    "FrameLabels",
    "Labels",
    "Mixture",
    "PictureRecord",
    "RunFolder",
    "Selection",
    "ShardIndex",
    "ShardManifest",
    "ShardReader",
    "SourceFrames",
    "Span",
    "StoredPicture",
    "StreamOrder",
    "UserError",
    "load_corpus",
    "load_index",
    "pack_shards",
    "read_ledger",
    "read_manifest",
    "read_stored_picture",
    "table_to_decisions",
    "verify_shards",
]

_MODULES = {
    "Check": "schema.ledger",
    "ClipRecord": "schema.clip_record",
    "Corpus": "format.corpus",
    "Decision": "schema.ledger",
    "DeletedClipError": "errors",
    "FaultError": "errors",
    "ForgedSegment": "schema.forgery",
    "Forgery": "schema.forgery",
    "FrameLabels": "schema.frame_labels",
    "Labels": "schema.labels",
    "Mixture": "sampling.mixture",
    "PictureRecord": "format.picture_record",
    "RunFolder": "format.run_folder",
    "Selection": "packing.selection",
    "ShardIndex": "format.index",
    "ShardManifest": "format.shard_manifest",
    "ShardReader": "format.index",
    "SourceFrames": "schema.frame_labels",
    "Span": "timeline",
    "StoredPicture": "format.picture_record",
    "StreamOrder": "sampling.stream_order",
    "UserError": "errors",
    "load_corpus": "format.corpus",
    "load_index": "format.index",
    "pack_shards": "packing.pack",
    "read_ledger": "schema.ledger",
    "read_manifest": "format.shard_manifest",
    "read_stored_picture": "format.picture_record",
    "table_to_decisions": "schema.ledger",
    "verify_shards": "packing.verify",
}


def import_at_first_use(package: str, modules: Mapping[str, str]) -> Callable[[str], Any]:
    """Return a package's `__getattr__`, which imports a public name when it is first used (PEP 562).

    modules: public name -> module of the package that defines it.
    """

    def get_attribute(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{modules[name]}"), name)

    return get_attribute


__getattr__ = import_at_first_use(__name__, _MODULES)
