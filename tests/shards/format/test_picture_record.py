"""The record of a picture, and pictures in shards: what is written is read, and what is damaged is named."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from avf_shards.errors import FaultError, UserError
from avf_shards.format.corpus import load_corpus, require_content
from avf_shards.format.index import ShardReader
from avf_shards.format.picture_record import PictureRecord, read_stored_picture, read_stored_record
from avf_shards.format.shard_manifest import ShardManifest, read_manifest
from avf_shards.schema.clip_record import ClipRecord
from avf_shards.schema.ledger import Check
from avf_shards.schema.versions import SCHEMA_VERSION
from avf_training.data.reader import ClipReader, read_corpus
from avf_training.data.storage import StorageConfig
from support.picture_shards import make_picture, write_picture_shards
from support.records import make_clip_record

GREY = np.full((20, 24, 3), 90, np.uint8)
CHECK = Check(stage="quality", reason="blurred", score=61.5, operator=">=", threshold=40.0)


def full_record() -> PictureRecord:
    labels = {"expression": "Happy", "abaw_expression": "Happiness", "valence": "0.25", "AU12": "1", "AU4": "0"}
    picture = make_picture("12/0a.jpg", GREY, source="affectnet", labels=labels, identity="n7", subset="validation")
    return replace(
        picture.record,
        window_px=(-3.5, 0.0, 20.5, 24.0),
        face_px=(2.0, 4.0, 15.0, 18.0),
        checks=(CHECK,),
        measurements={"quality": {"sharpness": 61.5}},
        backends={"faces": "dlib"},
        record=17,
    )


def test_a_record_is_read_as_it_was_written() -> None:
    record = full_record()
    assert PictureRecord.from_json(record.to_json(), "a") == record
    assert read_stored_record(record.to_json(), "a") == record
    assert (record.label("expression"), record.number("valence"), record.number("arousal")) == ("Happy", 0.25, None)
    assert record.action_units == {"AU4": 0, "AU12": 1}
    assert (record.video_id, record.speaker, record.span.frames) == ("12/0a.jpg", "n7", 1)


def test_the_record_of_a_clip_stays_one_of_a_clip() -> None:
    clip = make_clip_record("talks-0123456789ab-0000000-0000100-0")
    assert isinstance(read_stored_record(clip.to_json(), "a"), ClipRecord)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("picture_id", 3, "picture_id must be text"),
        ("subset", "dev", "subset must be one of train, validation, test, and is 'dev'"),
        ("window_px", [1, 2, 3], "window_px must be four numbers"),
        ("face_px", [1, 2, 3, "x"], "face_px: 3 must be a number"),
        ("width_px", None, "width_px must be a whole number"),
        ("checks", [{"stage": "quality"}], "reason must be text"),
        ("measurements", [], "measurements: must be a JSON object"),
    ],
)
def test_a_wrong_field_is_named_with_its_key(field: str, value: object, message: str) -> None:
    record = full_record()
    values = json.loads(record.to_json()) | {field: value}
    with pytest.raises(FaultError, match=message) as caught:
        PictureRecord.from_json(json.dumps(values).encode(), "a.json")
    assert str(caught.value).startswith(record.key)


def test_labels_that_are_no_numbers_are_named() -> None:
    picture = make_picture("a", GREY, labels={"valence": "high", "AU1": "2"})
    with pytest.raises(FaultError, match="label valence must be a number, and is 'high'"):
        picture.record.number("valence")
    with pytest.raises(FaultError, match="label AU1 must be 0 or 1, and is '2'"):
        _ = picture.record.action_units


def test_the_record_of_a_newer_version_is_refused() -> None:
    values = json.loads(full_record().to_json()) | {SCHEMA_VERSION: 99}
    with pytest.raises(UserError, match="picture record file of schema version 99"):
        PictureRecord.from_json(json.dumps(values).encode(), "a.json")


def test_files_that_are_no_picture_are_named() -> None:
    with pytest.raises(FaultError, match=r"a: a picture has one .jpg or .png and a .json, and this has flac, json"):
        read_stored_picture({"flac": b"", "json": b"{}"}, "a")


def test_pictures_of_shards_are_read_here_and_in_training(tmp_path: Path) -> None:
    pictures = [make_picture(f"p{n}", GREY + n, extension="png" if n % 2 else "jpg") for n in range(6)]
    write_picture_shards(tmp_path, pictures, pictures_per_shard=4)
    read = []
    for entry in read_manifest(tmp_path).shards:
        with ShardReader(tmp_path / entry.shard) as reader:
            read += [read_stored_picture(files, key) for key, files in reader.clips()]
    assert read == pictures
    corpus = read_corpus(tmp_path, StorageConfig(), "pictures")
    clip_reader = ClipReader(tmp_path, StorageConfig(), corpus)
    assert [clip_reader.read_picture(number) for number in range(6)] == pictures
    assert corpus.sources[0].count == 6


def test_shards_of_pictures_are_refused_where_clips_are_needed(tmp_path: Path) -> None:
    write_picture_shards(tmp_path, [make_picture("a", GREY)])
    with pytest.raises(UserError, match="its shards hold pictures, and clips are needed here"):
        read_corpus(tmp_path, StorageConfig())
    with pytest.raises(UserError, match="its shards hold pictures, and clips are needed here"):
        require_content(load_corpus(tmp_path), "clips", str(tmp_path))
    with pytest.raises(UserError, match=r"`avf-train pretrain-images`.* and `extract --pictures SOURCE` reads folders"):
        read_corpus(tmp_path, StorageConfig())


def test_the_manifest_of_clips_says_nothing_of_its_content(tmp_path: Path) -> None:
    write_picture_shards(tmp_path, [make_picture("a", GREY)])
    pictures = read_manifest(tmp_path)
    assert pictures.content == "pictures"
    clips = replace(pictures, content="clips")
    assert b'"content"' not in clips.to_json()
    assert ShardManifest.from_json(clips.to_json(), "m").content == "clips"
