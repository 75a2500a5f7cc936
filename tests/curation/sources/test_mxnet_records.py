"""Packed pictures as MXNet writes them; a hostile file is named by record and takes no memory."""

import struct
from pathlib import Path

import pytest
from avf_curation.sources.pictures.mxnet_records import RecordError, RecordFile
from avf_shards.errors import UserError
from support.corpora import write_file
from support.picture_corpora import JPEG, MARK, make_record, read_pictures, write_records

CUT = JPEG + MARK + b"rest of " + MARK + b"the picture"


def test_pictures_of_persons_are_read(tmp_path: Path) -> None:
    records = {
        0: make_record([4, 6], b""),  # says which keys are pictures, and which persons
        1: make_record([5], JPEG),
        2: make_record([5, 1], JPEG),
        3: make_record([9], CUT, parts=3),
        4: make_record([1, 3], b""),
    }
    positions = write_records(tmp_path, records)
    pictures, skipped = read_pictures("casia_webface", tmp_path)
    assert {
        name: (picture.packed and picture.packed.key, picture.identity, picture.size_bytes)
        for name, picture in pictures.items()
    } == {
        "1": (1, "5", len(JPEG)),
        "2": (2, "5", len(JPEG)),
        "3": (3, "9", len(CUT)),
    }
    assert not skipped
    with RecordFile(tmp_path / "train.rec") as file:
        assert [file.read_picture(positions[key]) for key in (1, 2, 3)] == [JPEG, JPEG, CUT]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (b"\0" * 40, "no record begins there"),
        (MARK + struct.pack("<I", (1 << 29) - 1) + JPEG, "the file ends before it does"),
        (MARK, "is behind the end of the file"),
        (MARK + struct.pack("<I", 4) + b"1234", "4 bytes are too few"),
        (MARK + struct.pack("<IIfQQ", 24, 1 << 31, 0, 0, 0), "it claims 2147483648 labels"),
        (MARK + struct.pack("<IIfQQ", 24, 8, 0, 0, 0), "it claims 8 labels"),
        (make_record([1], CUT, parts=3)[:48], "the file ends before it does|a part of it is missing|behind the end"),
        (MARK + struct.pack("<I", 2 << 29 | 24) + bytes(24), "the middle of a longer record"),
        (make_record([1], b"GIF89a no face"), "holds neither a JPEG nor a PNG"),
        (make_record([1.5], JPEG), "its label 1.5 is no person's number"),
        (make_record([float("nan")], JPEG), "its label nan is no person's number"),
    ],
)
def test_a_hostile_record_is_named(record: bytes, reason: str, tmp_path: Path) -> None:
    write_records(tmp_path, {1: make_record([3], JPEG), 2: record})
    pictures, skipped = read_pictures("webface260m", tmp_path)
    assert set(pictures) == {"1"}
    ((path, (kind, words)),) = skipped.items()
    assert (path, kind) == ("train.idx:2", "bad_row")
    assert any(part in words for part in reason.split("|"))


def test_a_record_of_endless_parts_is_refused(tmp_path: Path) -> None:
    part = MARK + struct.pack("<I", 2 << 29 | 1_000_000) + bytes(1_000_000)
    first = make_record([1], CUT, parts=3)[: 8 + 24 + len(JPEG) + -(24 + len(JPEG)) % 4]
    write_records(tmp_path, {1: first + part * 17})
    with RecordFile(tmp_path / "train.rec") as file, pytest.raises(RecordError, match="more than 16,000,000 bytes"):
        file.read_head(0)


def test_a_record_of_a_million_empty_parts_is_refused_after_a_thousand(tmp_path: Path) -> None:
    first = make_record([1], CUT, parts=3)[: 8 + 24 + len(JPEG) + -(24 + len(JPEG)) % 4]
    write_records(tmp_path, {1: first + (MARK + struct.pack("<I", 2 << 29)) * 2000})
    with RecordFile(tmp_path / "train.rec") as file, pytest.raises(RecordError, match="more than 1,000 parts"):
        file.read_head(0)


def test_lines_of_the_index_that_are_none_are_named(tmp_path: Path) -> None:
    write_records(tmp_path, {1: make_record([3], JPEG)})
    lines = ["1\t0", "x\t0", "1\t0", "2", "", "3\t" + "9" * 200, "4\t999999999", "-5\t0"]
    write_file(tmp_path, "train.idx", "\n".join(lines) + "\n")
    pictures, skipped = read_pictures("casia_webface", tmp_path)
    assert set(pictures) == {"1"}
    assert {path: kind for path, (kind, _) in skipped.items()} == {
        "train.idx:2": "bad_row",
        "train.idx:3": "duplicate",
        "train.idx:4": "bad_row",
        "train.idx:6": "bad_row",
        "train.idx:7": "bad_row",
        "train.idx:8": "bad_row",
    }


def test_records_without_an_index_are_refused(tmp_path: Path) -> None:
    write_file(tmp_path, "train.rec", make_record([3], JPEG))
    with pytest.raises(UserError, match=r"has no train\.idx beside it"):
        read_pictures("casia_webface", tmp_path)
