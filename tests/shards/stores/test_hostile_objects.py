"""What lies in a bucket is written by whoever may write to it: nothing of it leads out of the mirror."""

import os
from pathlib import Path

import pytest
from avf_shards.errors import FaultError, UserError
from avf_shards.format.manifest import seal
from avf_shards.stores.mirror import StoreMirror
from avf_shards.stores.stored_folder import StoredFolder
from support.faulty_store import SharedObjects, free_store

DATA = b"data"


def mirror_of(objects: SharedObjects, folder: Path) -> StoreMirror:
    objects.renew_listing()
    return StoreMirror(free_store(objects), folder)


def objects_of(*keys: str, data: bytes = DATA) -> SharedObjects:
    objects = SharedObjects()
    for key in keys:
        objects.put(key, data)
    return objects


@pytest.mark.parametrize(
    "key",
    [
        "../x.txt",
        "a/../../x.txt",
        "..",
        "./x.txt",
        "/etc/x.txt",
        "a//x.txt",
        "a\0b.txt",
        "a/../committed.json",
        "../committed.json",
        f"{'n' * 300}.txt",
        f"{'é' * 130}.txt",
        f"{'d/' * 2000}x.txt",
        ".run.mirror/versions.json",
        "a/.avf-foundry-temporary",
        "\ud800.txt",
    ],
)
def test_a_key_that_no_file_can_have_is_refused_and_nothing_is_written(key: str, tmp_path: Path) -> None:
    mirror = mirror_of(objects_of(key, "good.txt"), tmp_path / "box/source")
    with pytest.raises(UserError, match="rename it in the store") as refusal:
        mirror.pull()
    assert "can be no file's name" in str(refusal.value)
    assert not list(tmp_path.rglob("*.txt"))


def test_two_names_that_exclude_each_other_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"'a\.txt' \(a folder has this name too\)"):
        mirror_of(objects_of("a.txt", "a.txt/b.txt"), tmp_path / "source").pull()


def test_the_markers_of_consoles_are_folders_and_a_folder_named_parts_is_read(tmp_path: Path) -> None:
    objects = objects_of("parts/a.txt", "sub/b.txt", "sub/deep/c.txt")
    for marker in ("", "sub/", "sub/deep", "empty/"):
        objects.put(marker, b"")
    mirror_of(objects, tmp_path / "source").pull()
    files = sorted(path for path in (tmp_path / "source").rglob("*") if path.is_file())
    assert [path.relative_to(tmp_path / "source").as_posix() for path in files] == sorted(
        ["parts/a.txt", "sub/b.txt", "sub/deep/c.txt"]
    )
    assert {path.read_bytes() for path in files} == {DATA}


def test_odd_names_are_names(tmp_path: Path) -> None:
    keys = ["a\\b.txt", "Vidéo 日本.txt", "A.txt", "a.txt", "a*b[1]?.txt", "a%2Fb.txt", "~/x.txt", "a\nb.txt"]
    mirror_of(objects_of(*keys), tmp_path / "source").pull()
    files = [path for path in (tmp_path / "source").rglob("*") if path.is_file()]
    assert sorted(path.relative_to(tmp_path / "source").as_posix() for path in files) == sorted(keys)


def test_what_somebody_put_into_a_committed_folder_is_not_its_own(tmp_path: Path) -> None:
    (tmp_path / "unit").mkdir()
    (tmp_path / "unit/unit.json").write_bytes(DATA)
    objects = objects_of("units/0/readme.txt", "units/0/clips.tar", "units/0/deep/committed.json")
    objects.put("units/0/committed.json", StoredFolder.of(tmp_path / "unit").to_json())
    mirror_of(objects, tmp_path / "run").pull()
    assert [path.name for path in (tmp_path / "run/units/0").iterdir()] == ["unit.json"]


PART = {"size_bytes": 200_000, "sha256": "0" * 64}


@pytest.mark.parametrize(
    ("inside", "parts"),
    [
        ({"../x.txt": ""}, {}),
        ({"/etc/x.txt": ""}, {}),
        ({"a": "", "a/b": ""}, {}),
        ({"a": ""}, {"a": PART}),
        ({"a": "no Base64!"}, {}),
        ({"a": 1}, {}),
        ([], {}),
        ({}, {"../x.tar": PART}),
        ({}, {"a.tar": PART | {"sha256": "../../x"}}),
        ({}, {"a.tar": PART | {"size_bytes": -1}}),
        ({}, {"a.tar": PART | {"size_bytes": 0}}),
        ({}, {"a.tar": PART | {"size_bytes": 10**400}}),
        ({}, {"a.tar": []}),
    ],
)
def test_a_commit_that_describes_no_folder_is_damage(inside: object, parts: object, tmp_path: Path) -> None:
    objects = SharedObjects()
    objects.put("u/committed.json", seal({"inside": inside, "parts": parts}, "stored folder"))
    with pytest.raises(FaultError, match=r"u/committed\.json"):
        mirror_of(objects, tmp_path / "run").pull()
    assert not (tmp_path / "run/u").exists()


@pytest.mark.parametrize("content", [None, b"x" * 200_000, b"short"])
def test_a_part_that_is_missing_or_of_another_content_is_named(content: bytes | None, tmp_path: Path) -> None:
    objects = SharedObjects()
    objects.put("u/committed.json", seal({"inside": {}, "parts": {"a.tar": PART}}, "stored folder"))
    if content is not None:
        objects.put(f"u/parts/{'0' * 64}", content)
    mirror = mirror_of(objects, tmp_path / "run")
    mirror.pull()
    with pytest.raises((FaultError, OSError), match=f"parts/{'0' * 64}"):
        mirror.fetch(tmp_path / "run/u/a.tar")
    assert os.stat(tmp_path / "run/u/a.tar").st_mode & 0o777 == 0
