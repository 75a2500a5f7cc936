"""Shards are tar files that tarfile reads, and their reader uses the index."""

import tarfile
from pathlib import Path

import pytest
from avf_shards.errors import FaultError
from avf_shards.format.index import ShardReader, load_index, sidecar_path
from avf_shards.format.run_folder import PackedClip, write_part
from avf_shards.format.tar import header
from avf_shards.schema.clip_key import is_key, make_clip_key
from avf_shards.timeline import Span


def make_clips(count: int = 3) -> list[PackedClip]:
    shards = []
    for number in range(count):
        key = make_clip_key("made", f"v{number}", Span(0, 50), 0)
        shards.append(
            PackedClip(
                key=key,
                source="made",
                frames=50,
                members={"mp4": b"m" * (700 + number), "flac": b"f" * 512, "json": b"{}\n"},
            )
        )
    return sorted(shards, key=lambda clip: clip.key)


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    write_part(tmp_path, "a.tar", make_clips())
    return tmp_path / "a.tar"


def test_tarfile_reads_a_shard(shard: Path) -> None:
    with tarfile.open(shard) as archive:
        names = archive.getnames()
        info = archive.getmembers()[0]
    assert names == [f"{clip.key}.{extension}" for clip in make_clips() for extension in ("flac", "json", "mp4")]
    assert (info.mtime, info.uid, info.gid, info.mode) == (0, 0, 0, 0o644)


def test_the_index_counts_and_reads_members(shard: Path) -> None:
    index = load_index(sidecar_path(shard))
    assert index.clips == {"made": 3}
    assert index.seconds == {"made": 6.0}
    with ShardReader(shard) as reader:
        assert dict(reader.clips()) == {clip.key: clip.members for clip in make_clips()}


def test_equal_clips_give_equal_bytes(shard: Path, tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()
    write_part(tmp_path / "again", "a.tar", make_clips())
    assert (tmp_path / "again/a.tar").read_bytes() == shard.read_bytes()


def test_a_member_name_with_a_path_is_refused(shard: Path) -> None:
    side = sidecar_path(shard)
    side.write_text(side.read_text().replace(make_clips()[0].key, "../../etc/passwd"))
    with pytest.raises(FaultError, match="cannot be the name"):
        load_index(side)


def test_keys_are_parsed_and_validated() -> None:
    key = make_clip_key("voxceleb2", "id1/a.mp4", Span(0, 200), 0)
    assert is_key(key)
    assert "." not in key
    assert not is_key("../x")
    assert not is_key(key + ".mp4")


def test_headers_equal_those_of_tarfile() -> None:
    for name, size in (("a.mp4", 0), ("voxceleb2-0a1b2c3d4e5f-0000000-0000200-0.flac", 8**11 - 1), ("x" * 100, 12345)):
        info = tarfile.TarInfo(name)
        info.size, info.mode = size, 0o644
        assert header(name, size) == info.tobuf(tarfile.USTAR_FORMAT)
    for name, size in (("x" * 101, 1), ("a", 8**11)):
        with pytest.raises(ValueError, match="too long for a tar header"):
            header(name, size)
