"""A feature track is written once, read back equal, and refused where it is damaged or of something else."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from avf_shards.errors import UserError
from avf_shards.schema.versions import VERSIONS
from avf_shards.system import durable_io
from avf_training.framewise.tracks.errors import DamagedTrackError, MissingTrackError, OtherTrackError
from avf_training.framewise.tracks.feature_track import FeatureTrack, encode_track, read_track, write_track
from avf_training.framewise.tracks.identity import ExtractorIdentity, TrackSubject
from avf_training.framewise.tracks.track_folder import TrackFolder

IDENTITY = ExtractorIdentity.from_settings("vit", {"size_px": 224, "pooling": "mean"}, "ab" * 32)
SUBJECT = TrackSubject(source="aff_wild2", video_id="10-60-1280x720_right")


def make_track(rows: int = 6, **changes: Any) -> FeatureTrack:
    """A track with every second frame and random vectors of three values."""
    frames = 1 + 2 * np.arange(rows)
    track = FeatureTrack(
        subject=SUBJECT,
        extractor=IDENTITY,
        fps=29.97,
        inputs_sha256="cd" * 32,
        frames_N=frames,
        times_s_N=(frames - 1) / 29.97,
        vectors_ND=np.random.default_rng(0).standard_normal((rows, 3)).astype(np.float32),
    )
    return replace(track, **changes)


@pytest.mark.parametrize("kind", [np.float32, np.float16])
def test_a_track_is_read_as_it_was_written(tmp_path: Path, kind: type[Any]) -> None:
    track = make_track(vectors_ND=make_track().vectors_ND.astype(kind))
    write_track(tmp_path / "a/b/v.parquet", track)
    read = read_track(tmp_path / "a/b/v.parquet", subject=SUBJECT, extractor=IDENTITY, width=3)
    assert (read.subject, read.extractor, read.fps, read.inputs_sha256) == (SUBJECT, IDENTITY, 29.97, "cd" * 32)
    assert read.vectors_ND.dtype == kind
    for name in ("frames_N", "times_s_N", "vectors_ND"):
        assert np.array_equal(getattr(read, name), getattr(track, name))
    assert [path.name for path in (tmp_path / "a/b").iterdir()] == ["v.parquet"], "no temporary file is left"
    assert encode_track(read) == encode_track(track)


def test_a_track_is_read_without_this_program(tmp_path: Path) -> None:
    write_track(tmp_path / "v.parquet", make_track())
    table = pq.read_table(tmp_path / "v.parquet")
    assert table.column_names == ["frame", "time_s", "vector"]
    assert table["frame"].to_pylist() == [1, 3, 5, 7, 9, 11]
    assert np.array_equal(np.stack(table["vector"].to_numpy()), make_track().vectors_ND)
    metadata = pq.read_metadata(tmp_path / "v.parquet").metadata
    assert metadata[b"schema"] == b"avf-foundry feature track"
    assert metadata[b"extractor_digest"].decode() == IDENTITY.digest


def test_a_track_is_written_once(tmp_path: Path) -> None:
    path = tmp_path / "v.parquet"
    write_track(path, make_track())
    before = path.read_bytes()
    with pytest.raises(OtherTrackError, match=r"v\.parquet: exists already; .*remove it, or name another folder"):
        write_track(path, make_track(3))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_writer_left_is_removed_and_other_files_stay(tmp_path: Path) -> None:
    for name in (".v.parquet.0123456789ab", ".w.parquet.0123456789ab", "v.parquet.old"):
        (tmp_path / name).write_bytes(b"half")
    write_track(tmp_path / "v.parquet", make_track())
    assert sorted(path.name for path in tmp_path.iterdir()) == [".w.parquet.0123456789ab", "v.parquet", "v.parquet.old"]


def test_a_stop_at_any_operation_leaves_a_whole_track_or_none(tmp_path: Path) -> None:
    operations: list[str] = []
    with durable_io.watch(lambda operation, path: operations.append(operation)):
        write_track(tmp_path / "0/v.parquet", make_track())
    for stop in range(1, len(operations) + 1):
        path = tmp_path / f"{stop}/v.parquet"
        count = iter(range(1, len(operations) + 9))

        def die(operation: str, path: Path, stop: int = stop, count: Any = count) -> None:
            if next(count) == stop:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt), durable_io.watch(die):
            write_track(path, make_track())
        if path.exists():
            assert len(list(path.parent.iterdir())) == 1
            assert np.array_equal(read_track(path).vectors_ND, make_track().vectors_ND)
    assert "half a write" in operations


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vectors_ND": np.full((6, 3), np.nan, np.float32)}, "6 vectors hold nan or infinity, the first at frame 1"),
        ({"vectors_ND": np.diag([np.nan] + 5 * [0.0])[:, :3].astype(np.float32)}, "1 vector holds nan or infinity"),
        ({"vectors_ND": np.zeros((5, 3), np.float32)}, "6 frames, 6 times, vectors of shape"),
        ({"frames_N": np.array([1, 2, 2, 3, 4, 5])}, "frame numbers do not rise"),
        ({"frames_N": np.arange(6)}, "frame numbers do not rise from 1 on"),
        ({"times_s_N": np.zeros(6)}, "its times do not rise"),
        ({"fps": 0.0}, "has 0.0 frames a second"),
    ],
)
def test_what_no_track_may_hold_is_not_written(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        write_track(tmp_path / "v.parquet", make_track(**changes))
    assert list(tmp_path.iterdir()) == []


def test_a_track_without_a_frame_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has no frame"):
        write_track(tmp_path / "v.parquet", make_track(0))


def test_every_flipped_byte_is_an_error(tmp_path: Path) -> None:
    """But for bytes that nothing is read from: then the track is the same."""
    data, path = encode_track(make_track()), tmp_path / "v.parquet"
    errors = 0
    for position in range(0, len(data), 7):
        path.write_bytes(data[:position] + bytes([data[position] ^ 0x10]) + data[position + 1 :])
        try:
            read = read_track(path, subject=SUBJECT, extractor=IDENTITY)
        except (DamagedTrackError, OtherTrackError, UserError):
            errors += 1
        else:
            assert np.array_equal(read.vectors_ND, make_track().vectors_ND)
    assert errors > len(data) / 7 / 2


def rewrite(path: Path, **changes: str | None) -> None:
    """Write a track with other metadata."""
    table = pq.read_table(path)
    metadata = {**table.schema.metadata, **{key.encode(): str(value).encode() for key, value in changes.items()}}
    rest = {key: value for key, value in metadata.items() if value != b"None"}
    pq.write_table(table.replace_schema_metadata(rest), path)


def test_files_that_are_no_track_are_named(tmp_path: Path) -> None:
    path = tmp_path / "v.parquet"
    with pytest.raises(MissingTrackError, match=r"v\.parquet: no such track; `avf-train extract` writes it"):
        read_track(path)
    path.write_bytes(b"no parquet")
    with pytest.raises(DamagedTrackError, match=r"v\.parquet: not readable .*remove it and extract it again"):
        read_track(path)
    path.write_bytes(encode_track(make_track())[:-40])
    with pytest.raises(DamagedTrackError, match=r"v\.parquet"):
        read_track(path)
    path.write_bytes(encode_track(make_track()))
    rewrite(path, weights_sha256=None)
    with pytest.raises(DamagedTrackError, match=r"its metadata are not those of a track \('weights_sha256'\)"):
        read_track(path)
    rewrite(path, schema_version=str(VERSIONS["feature track"] + 1))
    with pytest.raises(UserError, match="update avf-foundry"):
        read_track(path)
    pq.write_table(pq.read_table(path).drop_columns("time_s"), path)
    rewrite(path, schema_version="1")
    with pytest.raises(DamagedTrackError, match="there is no column time_s"):
        read_track(path)


def test_a_track_of_something_else_is_named(tmp_path: Path) -> None:
    path = tmp_path / "v.parquet"
    write_track(path, make_track())
    with pytest.raises(OtherTrackError, match=r"v\.parquet: has vectors of 3 values, not the 768"):
        read_track(path, width=768)
    with pytest.raises(OtherTrackError, match=r"is of aff_wild2/10-60-1280x720_right, not of aff_wild2/1; "):
        read_track(path, subject=TrackSubject(source="aff_wild2", video_id="1"))
    for other, message in (
        (replace(IDENTITY, name="hubert"), "is of the extractor vit, not hubert"),
        (replace(IDENTITY, weights_sha256="ef" * 32), r"is of other weights of vit \(SHA-256 abababababab, not efefef"),
        (
            ExtractorIdentity.from_settings("vit", {"size_px": 224, "pooling": "cls"}, "ab" * 32),
            "with pooling=mean, not cls",
        ),
    ):
        with pytest.raises(OtherTrackError, match=message):
            read_track(path, extractor=other)


def test_a_folder_lists_checks_and_names_what_is_missing(tmp_path: Path) -> None:
    folder = TrackFolder(tmp_path)
    others = [TrackSubject(source="s", video_id=name) for name in ("..", "../x/y", "a" * 300, "a" * 301, ".x", "ä b")]
    subjects = [SUBJECT, replace(SUBJECT, person=1), replace(SUBJECT, video_id=f"{SUBJECT.video_id}@1"), *others]
    for subject in subjects:
        write_track(folder.path("vit", subject), make_track(subject=subject))
    assert len(folder.files()) == len(subjects), "no two videos share a file"
    assert {path.parent.parent for path in folder.files()} == {tmp_path / "vit"}
    assert [each.fault for each in folder.check()] == [""] * len(subjects)
    assert folder.read("vit", SUBJECT, identity=IDENTITY, width=3).subject == SUBJECT
    with pytest.raises(MissingTrackError, match=r"right has tracks of vit\); `avf-train extract --extractor hubert`"):
        folder.read("hubert", SUBJECT)
    with pytest.raises(MissingTrackError, match="s/9 has no track here"):
        folder.read("vit", TrackSubject(source="s", video_id="9"))
    moved = folder.path("vit", others[-1])
    moved.rename(moved.with_name("other.parquet"))
    folder.path("vit", SUBJECT).write_bytes(b"x")
    faults = [each.fault for each in folder.check() if each.fault]
    assert len(faults) == 2
    assert "other.parquet: is of s/ä b by vit; its name is" in faults[1]
    with pytest.raises(UserError, match="no such folder of tracks"):
        TrackFolder(tmp_path / "no").files()


def test_the_command_that_writes_a_missing_or_damaged_track_is_named(tmp_path: Path) -> None:
    folder = TrackFolder(tmp_path)
    other = replace(SUBJECT, video_id="9")
    layer = {"model": "temporal_v5", "select": "valence", "layer": "last"}
    for name, settings in (("face", {"side_px": 224}), ("heard", {"layer": "last"}), ("late", layer)):
        identity = ExtractorIdentity.from_settings(name, settings, "ab" * 32)
        write_track(folder.path(name, SUBJECT), make_track(extractor=identity))
        folder.path(name, other).write_bytes(b"x")  # what stands beside it says what wrote it
        known: tuple[ExtractorIdentity | None, ...] = (None, identity)
        command = "predict-frames --layer valence --name late" if name == "late" else f"extract --name {name}"
        remedy = f"write it again with {command}" if name == "late" else "remove it and extract it again"
        for each in known:
            with pytest.raises(MissingTrackError, match=rf"`avf-train {command}` writes it"):
                folder.read(name, TrackSubject(source="s", video_id="none"), identity=each)
            with pytest.raises(DamagedTrackError, match=remedy):
                folder.read(name, other, identity=each)
    assert [each.fault.rpartition("; ")[2] for each in folder.check() if "late" in each.fault] == [
        "remove it, and write it again with predict-frames --layer valence --name late"
    ]
    with pytest.raises(MissingTrackError, match=r"`avf-train extract --name x` or `predict-frames --layer LAYER --nam"):
        folder.read("x", SUBJECT)
