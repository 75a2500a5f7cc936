"""The manifest of a folder of shards, SHARDS/manifest.json: its shards, the selection, and the deleted clips."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from avf_shards.errors import FaultError, UserError
from avf_shards.format.content import Content, read_content
from avf_shards.format.manifest import MANIFEST, seal, unseal
from avf_shards.schema.fields import Fields
from avf_shards.system.storage_faults import read_bytes
from avf_shards.text import shell_word


@dataclass(frozen=True, kw_only=True)
class OriginalShard:
    """A shard as first packed. The stream order is computed from these values, through all later deletions."""

    shard: str  # file name
    sha256: str  # of the whole shard, in hexadecimal digits


@dataclass(frozen=True, kw_only=True)
class ShardEntry:
    """The entry of one shard in the manifest."""

    shard: str  # file name, without folder
    bytes: int  # size of the shard
    sha256: str  # of the whole shard, in hexadecimal digits
    index_sha256: str  # of its sidecar
    clips: dict[str, int]  # source -> clips as packed, deleted ones too
    seconds: dict[str, float]  # source -> seconds of the clips that are not deleted
    order: OriginalShard | None = None  # None: the shard was never rewritten
    rewritten: int = 0  # times that the shard was written anew to delete clips
    deleted: int = 0  # clips that were deleted

    @property
    def original(self) -> OriginalShard:
        """The name and digest that the stream order takes."""
        return self.order or OriginalShard(shard=self.shard, sha256=self.sha256)

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON object; fields of rewritten shards are left out for others."""
        values = asdict(self)
        if not self.order:
            for name in ("order", "rewritten", "deleted"):
                del values[name]
        return values

    @classmethod
    def from_fields(cls, fields: Fields) -> "ShardEntry":
        """Return the entry in a JSON object. Raises FaultError."""
        clips, seconds = fields.integers("clips"), fields.table("seconds")
        if clips.keys() != seconds.values.keys():
            raise FaultError(f"{fields.where}: clips and seconds must name the same sources")
        order = fields.table("order") if "order" in fields.values else None
        return cls(
            shard=_file_name(fields),
            bytes=fields.integer("bytes"),
            sha256=fields.text("sha256"),
            index_sha256=fields.text("index_sha256"),
            clips=clips,
            seconds={source: seconds.number(source) for source in seconds.values},
            order=OriginalShard(shard=_file_name(order), sha256=order.text("sha256")) if order else None,
            rewritten=fields.integer("rewritten") if order else 0,
            deleted=fields.integer("deleted") if order else 0,
        )


@dataclass(frozen=True, kw_only=True)
class Tombstone:
    """A clip that was deleted from the shards."""

    key: str  # of the clip
    reason: str  # as the person who deleted it gave it


@dataclass(frozen=True, kw_only=True)
class ShardManifest:
    """The content of SHARDS/manifest.json."""

    fingerprint: str  # of the curation run's settings
    inputs_sha256: str  # of the curation run's inputs
    ledger_sha256: str  # of the run's ledger
    selection: dict[str, Any]  # settings of the selection, as in pack.json
    selection_sha256: str  # of selection.parquet
    shards: tuple[ShardEntry, ...]  # in the order of the stream's numbering
    sources: dict[str, Any]  # source -> counts of its clips: kept, duplicates, selected, ...
    tombstones: tuple[Tombstone, ...] = ()  # sorted by key
    generation: int = 0  # changes since the shards were packed
    content: Content = "clips"  # what the shards hold

    def to_json(self) -> bytes:
        """Return the content of the file; the same manifest gives the same bytes."""
        values: dict[str, Any] = {
            "fingerprint": self.fingerprint,
            "inputs_sha256": self.inputs_sha256,
            "ledger_sha256": self.ledger_sha256,
            "selection": self.selection,
            "selection_sha256": self.selection_sha256,
            "shards": [entry.as_dict() for entry in self.shards],
            "sources": self.sources,
        }
        if self.tombstones:
            values["tombstones"] = [asdict(tombstone) for tombstone in self.tombstones]
        if self.content != "clips":
            values["content"] = self.content
        if self.generation:
            values["generation"] = self.generation
        return seal(values, "shard manifest")

    @classmethod
    def from_json(cls, data: bytes, where: str) -> "ShardManifest":
        """Return the manifest in the content of a file; `where` names the file in messages.

        Raises FaultError for a damaged manifest, UserError for a newer version.
        """
        fields = Fields(unseal(data, "shard manifest", where), where)
        entries = [Fields.from_value(entry, f"{where}: an entry of shards") for entry in fields.items("shards")]
        deleted = fields.items("tombstones") if "tombstones" in fields.values else []
        tombstones = [Fields.from_value(tombstone, f"{where}: a tombstone") for tombstone in deleted]
        return cls(
            fingerprint=fields.text("fingerprint"),
            inputs_sha256=fields.text("inputs_sha256"),
            ledger_sha256=fields.text("ledger_sha256"),
            selection=dict(fields.table("selection").values),
            selection_sha256=fields.text("selection_sha256"),
            shards=tuple(ShardEntry.from_fields(entry) for entry in entries),
            sources=dict(fields.table("sources").values),
            tombstones=tuple(Tombstone(key=each.text("key"), reason=each.text("reason")) for each in tombstones),
            generation=fields.integer("generation") if "generation" in fields.values else 0,
            content=read_content(fields),
        )


def read_manifest(shards: Path) -> ShardManifest:
    """Return the manifest of a folder of finished shards. Raises UserError without one, FaultError for damage."""
    path = shards / MANIFEST
    if not path.is_file():
        raise UserError(
            f"{shards}: has no {MANIFEST}; a finished `avf-shards pack RUN --out {shell_word(shards)}` writes it"
        )
    return ShardManifest.from_json(read_bytes(path), str(path))


def _file_name(fields: Fields) -> str:
    """Return the name of a shard. Raises FaultError for a path, which could lead out of the folder."""
    name = fields.text("shard")
    if name != Path(name).name:
        raise FaultError(f"{fields.where}: {name!r} cannot be the name of a shard")
    return name
