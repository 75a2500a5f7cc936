"""Damage beside what is taken down stops no takedown: the clip goes, the damage is named, and the exit status is 1."""

import errno
import os
import shutil
from pathlib import Path

import pytest
from avf_shards.cli.main import main
from avf_shards.format.index import MEMBERS_PER_CLIP, ShardReader, load_index, sidecar_path
from avf_shards.format.run_folder import PART, PART_INDEX
from avf_shards.format.shard_manifest import read_manifest
from avf_shards.format.tar import BLOCK, Member
from avf_shards.packing.verify import verify_shards
from avf_shards.schema.clip_key import make_video_prefix
from support.clips import make_flashing_shards
from support.shard_folders import read_clips

GONE, NEIGHBOUR = "003.mp4", "001.mp4"


@pytest.fixture(scope="module")
def run_and_shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("damaged")
    make_flashing_shards(folder, {"a": 4, "b": 2}, clips_per_shard=4)
    return folder


@pytest.fixture
def folder(run_and_shards: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run_and_shards, tmp_path / "all"))


def shard_of(folder: Path) -> Path:
    """Return the one shard of source a, as it is named now."""
    (entry,) = [entry for entry in read_manifest(folder / "shards").shards if "a" in entry.clips]
    return folder / "shards" / entry.shard


def member_of(folder: Path, video: str, extension: str) -> Member:
    members = load_index(sidecar_path(shard_of(folder))).members
    prefix = make_video_prefix("a", video) + "-"
    (member,) = [each for each in members if each.name.startswith(prefix) and each.name.endswith(f".{extension}")]
    return member


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


def delete(folder: Path, *options: str) -> int:
    return main(["delete", str(folder / "shards"), *options, "--video", f"a/{GONE}"])


def files_that_name(folder: Path, key: str) -> set[str]:
    return {path.name for path in (folder / "shards").iterdir() if key.encode() in path.read_bytes()}


@pytest.mark.parametrize("extension", ["mp4", "flac", "json"])
def test_a_damaged_clip_beside_it_moves_as_it_is_and_stays_named(
    folder: Path, extension: str, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = member_of(folder, GONE, "mp4").name.partition(".")[0]
    damaged = member_of(folder, NEIGHBOUR, extension)
    before = read_clips(folder / "shards")
    flip(shard_of(folder), damaged.offset + damaged.size // 2)
    bytes_before = shard_of(folder).read_bytes()[damaged.offset : damaged.offset + damaged.size]
    assert delete(folder) == 1
    output = capsys.readouterr()
    assert f"deleted: {gone}" in output.out
    assert f"damaged: {shard_of(folder).stem.partition('-r')[0]}.tar: member {damaged.name}" in output.err
    assert files_that_name(folder, gone) <= {"manifest.json", "manifest-000001.json"}
    after = member_of(folder, NEIGHBOUR, extension)
    assert shard_of(folder).read_bytes()[after.offset : after.offset + after.size] == bytes_before
    assert after.crc32 == damaged.crc32
    (fault,) = verify_shards(folder / "shards")
    assert damaged.name in fault
    assert "content is damaged" in fault
    with ShardReader(shard_of(folder)) as reader:
        for key, members in reader.index.by_key().items():
            if key != damaged.name.partition(".")[0]:
                assert {kind: reader.read(member) for kind, member in members.items()} == before[key]


def test_a_damaged_header_beside_it_is_mended_by_its_copy(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = read_clips(folder / "shards")
    damaged = member_of(folder, NEIGHBOUR, "mp4")
    flip(shard_of(folder), damaged.offset - BLOCK)
    assert delete(folder) == 1
    assert f"member {damaged.name} at byte {damaged.offset}: its tar header is damaged" in capsys.readouterr().err
    assert verify_shards(folder / "shards") == []
    assert all(before[key] == files for key, files in read_clips(folder / "shards").items())


@pytest.mark.parametrize("shifted", [False, True])
def test_a_shard_that_was_cut_loses_the_clip_and_carries_nothing_of_it(folder: Path, shifted: bool) -> None:
    """Where a range was cut out of the middle, other bytes lie in the place of the neighbour's."""
    gone = member_of(folder, GONE, "mp4")
    with ShardReader(shard_of(folder)) as reader:
        marks = reader.read(gone)[gone.size // 2 :][:60]
        assert reader.path.read_bytes().count(marks) == 1
    data = shard_of(folder).read_bytes()
    shard_of(folder).write_bytes(data[1000:] if shifted else data[:-2000])
    assert delete(folder) == 1
    assert marks not in shard_of(folder).read_bytes()
    assert gone.name.encode() not in shard_of(folder).read_bytes()
    assert verify_shards(folder / "shards"), "what was lost is still named"


def neighbour_before(folder: Path) -> tuple[str, Member]:
    """Return the id of the video of the second clip of the shard, and the last member of the first clip."""
    members = load_index(sidecar_path(shard_of(folder))).members
    second = members[len(MEMBERS_PER_CLIP)].name
    (video,) = [
        video for video in ("000.mp4", "001.mp4", "002.mp4", "003.mp4") if make_video_prefix("a", video) in second
    ]
    return video, members[len(MEMBERS_PER_CLIP) - 1]


@pytest.mark.parametrize("cut_bytes", [700, 3000])
def test_bytes_that_moved_into_its_neighbour_are_not_carried_along(folder: Path, cut_bytes: int) -> None:
    """Where bytes were cut out of a neighbour, the beginning of the clip behind it lies in the neighbour's place."""
    video, before = neighbour_before(folder)
    data = shard_of(folder).read_bytes()
    cut = before.offset + before.size // 2
    shard_of(folder).write_bytes(data[:cut] + data[cut + cut_bytes :])
    assert main(["delete", str(folder / "shards"), "--video", f"a/{video}"]) == 1
    assert make_video_prefix("a", video).encode() not in shard_of(folder).read_bytes()
    assert any(before.name in fault for fault in verify_shards(folder / "shards"))


def test_a_unit_whose_bytes_moved_is_named_and_not_thought_erased(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = member_of(folder, GONE, "mp4").name.partition(".")[0]
    (side,) = [path for path in (folder / "run").rglob(PART_INDEX) if gone in path.read_text()]
    part = side.with_name(PART)
    intact = part.read_bytes()
    part.write_bytes(intact[:BLOCK] + intact[3 * BLOCK :])
    for _ in range(2):
        assert delete(folder, "--run", str(folder / "run")) == 1
        assert f"others of {gone} may lie elsewhere in it" in capsys.readouterr().err
    part.write_bytes(intact)
    assert delete(folder, "--run", str(folder / "run")) == 0


def test_a_read_that_fails_is_no_damage_and_names_the_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The machine is at fault: the command stops, and goes on when it is started again."""

    def fail(*_: object) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr("avf_shards.format.index.os.pread", fail)
        assert delete(folder, "--run", str(folder / "run")) != 0
    error = capsys.readouterr().err
    assert "Input/output error" in error
    assert ".tar" in error
    assert "damaged" not in error
    assert delete(folder, "--run", str(folder / "run")) == 0


def test_a_unit_without_its_clips_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gone = member_of(folder, GONE, "mp4").name.partition(".")[0]
    (side,) = [path for path in (folder / "run").rglob(PART_INDEX) if gone in path.read_text()]
    side.with_name(PART).unlink()
    assert delete(folder, "--run", str(folder / "run")) == 1
    assert f"missing, though its index is there; not erased: {gone}" in capsys.readouterr().err
    assert verify_shards(folder / "shards") == []


def test_a_name_that_is_unknown_where_not_all_can_be_read_is_told_with_the_damage(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flip(sidecar_path(shard_of(folder)), 40)
    assert delete(folder) == 2
    error = capsys.readouterr().err
    assert f"has no clip of what was named (video a/{GONE}) in what can be read" in error
    assert f"{shard_of(folder).name} was not looked through, and may hold what was named" in error


@pytest.mark.parametrize("fault", ["sidecar", "no sidecar", "no shard"])
def test_a_shard_that_cannot_be_looked_through_is_named_and_stops_nothing_else(
    folder: Path, fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (entry,) = [entry for entry in read_manifest(folder / "shards").shards if "b" in entry.clips]
    other = folder / "shards" / entry.shard
    if fault == "sidecar":
        flip(sidecar_path(other), 40)
    elif fault == "no sidecar":
        sidecar_path(other).unlink()
    else:
        other.unlink()
    gone = member_of(folder, GONE, "mp4").name.partition(".")[0]
    assert delete(folder, "--video", "b/000.mp4", "--allow-unknown") == 1
    output = capsys.readouterr()
    assert f"deleted: {gone}" in output.out
    assert f"{entry.shard} was not looked through, and may hold what was named" in output.err
    assert files_that_name(folder, gone) <= {"manifest.json", "manifest-000001.json"}


def test_a_record_that_cannot_be_read_is_known_by_the_run(folder: Path) -> None:
    """What belongs to a speaker or has certain bytes is told by the record; the run tells the keys too."""
    gone = member_of(folder, GONE, "json")
    flip(shard_of(folder), gone.offset + 3)
    assert delete(folder, "--run", str(folder / "run")) == 0
    assert not files_that_name(folder, gone.name.partition(".")[0]) - {"manifest.json", "manifest-000001.json"}
    assert verify_shards(folder / "shards") == []


def test_a_damaged_index_of_a_unit_is_named_and_the_shards_are_rid_of_the_clip(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = member_of(folder, GONE, "mp4").name.partition(".")[0]
    (side,) = [path for path in (folder / "run").rglob(PART_INDEX) if gone in path.read_text()]
    intact = side.read_bytes()
    flip(side, 40)
    assert delete(folder, "--run", str(folder / "run")) == 1
    output = capsys.readouterr()
    assert f"deleted: {gone}" in output.out
    assert f"not erased: {gone}" in output.err
    assert verify_shards(folder / "shards") == []
    side.write_bytes(intact)
    assert delete(folder, "--run", str(folder / "run")) == 0
    with ShardReader(side.with_name(PART)) as reader:
        member = reader.index.by_key()[gone]["mp4"]
        assert not reader.path.read_bytes()[member.offset : member.offset + member.size].strip(b"\0")
