"""verify compares counts, keys across shards and selection.parquet, which digests alone do not."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from avf_shards.format.index import load_index, sidecar_path
from avf_shards.format.shard_manifest import ShardEntry, ShardManifest, Tombstone, read_manifest
from avf_shards.packing.pack import pack_shards
from avf_shards.packing.selection import SELECTION_SCHEMA, Selection
from avf_shards.packing.verify import verify_shards
from avf_shards.schema.ledger import encode_ledger
from avf_shards.schema.versions import read_parquet
from support.runs import make_run


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    pack_shards(make_run(tmp_path, videos=3), tmp_path / "shards", Selection(clips_per_shard=4))
    assert verify_shards(tmp_path / "shards") == []
    return tmp_path / "shards"


def change_manifest(shards: Path, change: Callable[[ShardManifest], ShardManifest]) -> list[str]:
    """Write a manifest whose own digest is right, as a faulty program would; return what verify says."""
    (shards / "manifest.json").write_bytes(change(read_manifest(shards)).to_json())
    return verify_shards(shards)


def with_first(manifest: ShardManifest, **values: object) -> ShardManifest:
    first: ShardEntry = replace(manifest.shards[0], **values)  # type: ignore[arg-type]  # a field of the test's choice
    return replace(manifest, shards=(first, *manifest.shards[1:]))


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"clips": {"made": 5}}, "holds 4 clips and 0 deleted positions"),
        ({"seconds": {"made": 9.0}}, "says 9 s of made, its clips have another length"),
        ({"bytes": 1}, "say another size or SHA-256"),
    ],
)
def test_a_manifest_that_counts_something_else_is_reported(shards: Path, values: dict[str, object], fault: str) -> None:
    (message,) = change_manifest(shards, lambda manifest: with_first(manifest, **values))
    assert fault in message
    assert "made-000000.tar" in message


def test_a_tombstone_of_a_clip_that_a_shard_holds_is_reported(shards: Path) -> None:
    key = next(iter(load_index(sidecar_path(shards / "made-000000.tar")).by_key()))
    faults = change_manifest(shards, lambda manifest: replace(manifest, tombstones=(Tombstone(key=key, reason=""),)))
    assert any(key in fault and "a shard holds it" in fault for fault in faults)
    assert any("lists 1 deleted clips, and its shards say 0" in fault for fault in faults)


def test_a_clip_in_two_shards_is_reported(shards: Path) -> None:
    source, copy = shards / "made-000000.tar", shards / "made-000009.tar"
    copy.write_bytes(source.read_bytes())
    index = replace(load_index(sidecar_path(source)), shard=copy.name).to_json()
    sidecar_path(copy).write_bytes(index)

    def add(manifest: ShardManifest) -> ShardManifest:
        entry = replace(manifest.shards[0], shard=copy.name, index_sha256=hashlib.sha256(index).hexdigest())
        return replace(manifest, shards=(*manifest.shards, entry))

    faults = change_manifest(shards, add)
    assert len(faults) == 4
    assert all("which made-000000.tar holds too" in fault for fault in faults)


@pytest.mark.parametrize(("selected", "fault"), [(False, "does not select a clip"), (True, "that no shard holds")])
def test_a_selection_of_other_clips_is_reported(shards: Path, selected: bool, fault: str) -> None:
    path = shards / "selection.parquet"
    rows = read_parquet(path, "selection").to_pylist()
    if selected:
        rows.append({"key": "made-000000000000-0000000-0000025-0", "selected": True})
    else:
        rows[0]["selected"] = False
    data = encode_ledger(pa.Table.from_pylist(rows, schema=SELECTION_SCHEMA))
    path.write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    (message,) = change_manifest(shards, lambda manifest: replace(manifest, selection_sha256=digest))
    assert fault in message
