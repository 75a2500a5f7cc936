"""Deletion from shards removes every byte of a clip, keeps all other clips in place, and survives a kill."""

import hashlib
import json
import shutil
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import pytest
from avf_shards.cli.main import main
from avf_shards.deletion.requests import deletion_request
from avf_shards.errors import FaultError, UserError
from avf_shards.format.corpus import load_corpus
from avf_shards.format.index import ShardReader, load_index, sidecar_path
from avf_shards.format.manifest import MANIFEST
from avf_shards.format.run_folder import PackedClip, RunFolder, write_part
from avf_shards.format.shard_manifest import Tombstone, read_manifest
from avf_shards.packing.pack import SELECTED, list_shard, pack_shards
from avf_shards.packing.selection import Selection
from avf_shards.packing.verify import verify_shards
from avf_shards.schema.clip_key import make_clip_key, make_video_prefix
from avf_shards.timeline import Span
from support.clips import make_flashing_shards
from support.crash_points import by_strides, crash_after_operation
from support.records import make_clip_record
from support.shard_folders import read_clips, write_manifest
from support.streams import make_stream_loader, pretraining_sampler
from support.takedowns import delete_clips

BATCH = 6


@pytest.fixture(scope="module")
def packed_shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_flashing_shards(tmp_path_factory.mktemp("delete"), {"a": 9, "b": 5})


@pytest.fixture
def shards(packed_shards: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(packed_shards, tmp_path / "shards"))


def file_digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def key_of(shards: Path, source: str, video: str) -> str:
    (key,) = [key for key in read_clips(shards) if key.startswith(make_video_prefix(source, video) + "-")]
    return key


def test_deletion_removes_the_clip_and_changes_nothing_else(shards: Path, packed_shards: Path) -> None:
    key, before = key_of(shards, "a", "003.mp4"), read_clips(packed_shards)
    done = delete_clips(shards, deletion_request(["a/003.mp4"]), "asked by the owner")
    assert done.keys == (key,)
    after = read_clips(shards)
    assert before.keys() - after.keys() == {key}
    assert all(after[other] == before[other] for other in after)
    assert list(after) == [other for other in before if other != key], "the order of all others"
    assert verify_shards(shards) == []
    old, new = file_digests(packed_shards), file_digests(shards)
    assert len(old.keys() - new.keys()) == 2, "one shard and its index were rewritten, no other was touched"
    assert all(new[name] == old[name] for name in old.keys() & new.keys() - {MANIFEST, SELECTED})
    assert not any(key.encode() in path.read_bytes() for path in shards.iterdir() if "manifest" not in path.name)
    assert read_manifest(shards).tombstones == (Tombstone(key=key, reason="asked by the owner"),)


def test_a_stream_continues_after_a_deletion_with_substitutes(shards: Path, tmp_path: Path) -> None:
    key = key_of(shards, "a", "003.mp4")
    before = [batch.keys for batch in islice(make_stream_loader(shards, pretraining_sampler(), BATCH), 8)]
    state = make_stream_loader(shards, pretraining_sampler(), BATCH).state_dict()
    digest = load_corpus(shards).digest
    delete_clips(shards, deletion_request(["a/003.mp4"]))
    assert load_corpus(shards).digest == digest
    quarantine = tmp_path / "quarantine.jsonl"
    for workers in (0, 2):
        loader = make_stream_loader(
            shards, pretraining_sampler(), BATCH, workers=workers, quarantine=quarantine, max_fault_share=0.0
        )
        loader.load_state_dict(state)
        after = [batch.keys for batch in islice(loader, 8)]
        pairs = [pair for old, new in zip(before, after, strict=True) for pair in zip(old, new, strict=True)]
        assert any(old == key for old, _ in pairs)
        for old, new in pairs:
            assert new != key
            assert (old == new) == (old != key)
    assert not quarantine.read_text(), "what was taken down is no fault"


def test_a_deletion_under_a_running_stream_costs_no_other_clip(shards: Path, tmp_path: Path) -> None:
    before = [batch.keys for batch in islice(make_stream_loader(shards, pretraining_sampler(), 1), 14)]
    quarantine = tmp_path / "quarantine.jsonl"
    loader = make_stream_loader(shards, pretraining_sampler(), 1, quarantine=quarantine, max_fault_share=0.0)
    stream = iter(loader)
    first = [next(stream).keys]  # of one shard; the others are not opened yet
    deleted = [next(iter(load_index(path).by_key())) for path in sorted(shards.glob("*.index.json"))]
    delete_clips(shards, deletion_request(listed=[f"key {key}" for key in deleted]))
    after = first + [batch.keys for batch in islice(stream, 13)]
    pairs = [(old, new) for (old,), (new,) in zip(before, after, strict=True)]
    assert len({old for old, new in pairs if old == new and old not in deleted}) == 14 - len(deleted)
    assert not quarantine.exists() or not quarantine.read_text(), "healthy clips of a rewritten shard are no faults"


def test_a_shard_is_rewritten_by_each_deletion_and_a_repeated_request_changes_nothing(shards: Path) -> None:
    first = delete_clips(shards, deletion_request(["a/003.mp4"]))
    assert delete_clips(shards, deletion_request(["a/003.mp4"])).keys == (), "it was done; the proof is made again"
    with ShardReader(shards / first.rewritten[0]) as reader:
        neighbour = next(iter(reader.index.by_key()))
    second = delete_clips(shards, deletion_request(listed=[f"key {neighbour}", "# a comment", ""]))
    assert second.keys == (neighbour,)
    assert second.tombstones == 2
    assert "-r2-" in second.rewritten[0]
    assert len(load_index(sidecar_path(shards / second.rewritten[0])).deleted) == 2
    assert verify_shards(shards) == []
    with pytest.raises(UserError, match="no clip of what was named"):
        delete_clips(shards, deletion_request(["a/nobody.mp4"]))


def test_a_complete_source_is_deleted(shards: Path) -> None:
    delete_clips(shards, deletion_request([f"b/{n:03d}.mp4" for n in range(5)]))
    assert {key.split("-")[0] for key in read_clips(shards)} == {"a"}
    assert verify_shards(shards) == []


@by_strides
def test_a_deletion_killed_after_any_file_operation_can_be_repeated(
    stride: int, packed_shards: Path, tmp_path: Path
) -> None:
    undisturbed = Path(shutil.copytree(packed_shards, tmp_path / "whole"))
    request = deletion_request(["a/003.mp4", "b/001.mp4"])
    delete_clips(undisturbed, request)
    number = 0
    while True:
        folder = Path(shutil.copytree(packed_shards, tmp_path / str(number)))
        with crash_after_operation(number) as crash:
            delete_clips(folder, request)
        delete_clips(folder, request)
        assert file_digests(folder) == file_digests(undisturbed), f"after operation {number}"
        shutil.rmtree(folder)
        if not crash.happened:
            break
        number += stride
    assert number > 20


def write_shard(folder: Path, keys: Sequence[str]) -> None:
    """Write a shard of clips without media; every second one is of the speaker id1."""
    packed = [
        PackedClip(
            key=key,
            source="s",
            frames=50,
            members={"mp4": b"m", "flac": b"f", "json": make_clip_record(key, f"id{n % 2}").to_json()},
        )
        for n, key in enumerate(keys)
    ]
    write_part(folder, "s-000000.tar", packed)
    write_manifest(folder, [list_shard(folder / "s-000000.tar")])


def test_clips_of_older_shards_are_deleted_by_video(tmp_path: Path) -> None:
    keys = [make_clip_key("s", f"{n}.mp4", Span(0, 50), 0) for n in range(2)]
    old = [key.replace(key.split("-")[1], key.split("-")[1][:12]) for key in keys]
    write_shard(tmp_path, old)
    assert delete_clips(tmp_path, deletion_request(["s/1.mp4"])).keys == (old[1],)
    assert list(read_clips(tmp_path)) == [old[0]]
    with open(tmp_path / "notes.json", "w") as file:
        file.write(f'"{old[1]}"')
    with pytest.raises(FaultError, match=r"notes\.json: still holds"):
        delete_clips(tmp_path, deletion_request(["s/1.mp4"]))


def test_clips_are_deleted_by_speaker(tmp_path: Path) -> None:
    write_shard(tmp_path, [make_clip_key("s", str(n), Span(0, 50), 0) for n in range(4)])
    done = delete_clips(tmp_path, deletion_request(speakers=["s/id1"]))
    assert len(done.keys) == 2
    assert {json.loads(files["json"])["speaker"] for files in read_clips(tmp_path).values()} == {"id0"}
    with pytest.raises(UserError, match="no clip of what was named"):
        delete_clips(tmp_path, deletion_request(speakers=["other/id0"]))


def test_a_deleted_clip_is_not_packed_again(packed_shards: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(packed_shards.parent, tmp_path / "all"))
    delete_clips(folder / "shards", deletion_request(["a/003.mp4"]))
    before = file_digests(folder / "shards")
    with pytest.raises(UserError, match="clips were deleted here"):
        pack_shards(RunFolder(folder / "run"), folder / "shards", Selection(clips_per_shard=4))
    assert file_digests(folder / "shards") == before


def test_remaining_bytes_of_a_deleted_clip_are_reported(shards: Path, packed_shards: Path) -> None:
    key = key_of(shards, "a", "003.mp4")
    (shard,) = [path for path in packed_shards.glob("a-*.tar") if key.encode() in path.read_bytes()]
    delete_clips(shards, deletion_request(["a/003.mp4"]))
    shutil.copy(shard, shards / "copy.tar")
    with pytest.raises(FaultError, match=r"copy.tar: is still there, though the manifest does not list it"):
        delete_clips(shards, deletion_request(["a/003.mp4"]))


def test_a_deleted_name_in_any_file_is_reported(shards: Path) -> None:
    key = key_of(shards, "a", "003.mp4")
    delete_clips(shards, deletion_request(["a/003.mp4"]))
    with open(shards / "pack.json", "a") as file:
        file.write(f"seen {key}.mp4")
    with pytest.raises(FaultError, match=r"pack.json: still holds"):
        delete_clips(shards, deletion_request(["a/003.mp4"]))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ([], "nothing named"),
        (["--video", "003.mp4"], "must be SOURCE/ID"),
        (["--speaker", "s/"], "must be SOURCE/NAME"),
        (["--list", "nosuch"], "--list nosuch: cannot be read"),
        (["--video", "a/nobody"], "has no clip of what was named"),
    ],
)
def test_invalid_requests_are_refused_with_the_reason(
    shards: Path, options: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["delete", str(shards), *options]) == 2
    assert says in capsys.readouterr().err


def test_the_command_deletes_and_verifies(shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "list.txt").write_text("# owner's letter\nvideo a/003.mp4\nvideo b/001.mp4\n")
    assert main(["delete", str(shards), "--list", str(tmp_path / "list.txt")]) == 0
    assert "deleted so far: 2 clips" in capsys.readouterr().out
    assert main(["ls", str(shards)]) == 0
    assert main(["verify", str(shards)]) == 0
    (tmp_path / "list.txt").write_text("vidio a/003.mp4\n")
    assert main(["delete", str(shards), "--list", str(tmp_path / "list.txt")]) == 2
    assert "line 1" in capsys.readouterr().err


def test_a_damaged_generation_gets_into_force_nowhere(shards: Path) -> None:
    delete_clips(shards, deletion_request(["a/003.mp4"]))
    path = shards / "manifest-000001.json"
    good = path.read_bytes()
    for data in (b"", b"{}", good[:-2], good[:200] + bytes([good[200] ^ 1]) + good[201:]):
        path.write_bytes(data)
        (fault,) = verify_shards(shards)
        assert fault.startswith(str(path))
        assert fault.endswith("manifest.json holds the same generation and is intact: copy it to manifest-000001.json")
        with pytest.raises(FaultError, match=r"manifest-000001\.json"):
            delete_clips(shards, deletion_request(["a/001.mp4"]))
        assert (shards / MANIFEST).read_bytes() == good
    shutil.copy(shards / MANIFEST, path)
    assert verify_shards(shards) == []
    assert len(delete_clips(shards, deletion_request(["a/001.mp4"])).keys) == 1
