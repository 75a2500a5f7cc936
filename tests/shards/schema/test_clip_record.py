"""A record is read as it was written, and an invalid record is refused with the names of clip and field."""

import json
import math
from array import array
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from avf_curation.stages.faces import FacesScores
from avf_curation.stages.quality import QualityScores
from avf_curation.stages.scenes import ScenesScores
from avf_curation.stages.silence import Stretch
from avf_curation.stages.speaker import SpeakerScores
from avf_curation.stages.sync import SyncScores
from avf_shards.errors import FaultError, UserError
from avf_shards.packing.near_duplicates import decode_fingerprint, encode_fingerprint
from avf_shards.schema.clip_record import ClipRecord
from avf_shards.schema.frame_labels import FrameLabels, SourceFrames
from avf_shards.schema.labels import Labels, Origin
from avf_shards.schema.ledger import Check
from avf_shards.schema.measurements import Measurements
from avf_shards.timeline import Span

KEY = "made-0123456789ab-0000000-0000050-0"
STAGES: dict[str, dict[str, Any]] = {
    "scenes": ScenesScores(length_s=2.0, cut_off_s=0.0, no_picture_s=0.0, no_sound_s=0.5, oddities=("Odd.",)).record(),
    "faces": FacesScores(
        counts=(1, 1, 2),
        no_face_share=0.0,
        several_share=0.3,
        face_px=90.0,
        size_ratio=1.1,
        inside=1.0,
        aspect_low=None,
        aspect_high=1.2,
    ).record()
    | {"would_reject": ["several_faces"]},
    "silence": Stretch(span=Span(0, 50), speech=True, level_dbfs=-20.5).record(),
    "track": {"window_px": 300.0, "face_px": 120.5, "detections": 9, "tracks": 1, "blend": 0.0, "identity_jump": None},
    "speaker": SpeakerScores(
        backend="lr-asd", speaking_share=0.5, mean_score=-0.1, face=0, faces=1, speaking_T=np.float32([1, -2])
    ).record(),
    "sync": SyncScores(backend="envelope", offset_frames=3, confidence=None, distance=None, length_s=2.0).record(),
    "quality": QualityScores(sharpness=30.0, frozen_s=0.0, black_share=0.0, bars=0.0, overlay_px=None).record()
    | {"overlay_pooled_px": None},
}
RECORD = ClipRecord(
    key=KEY,
    source="made",
    video_id="d/a.mp4",
    group_id="d",
    path="d/ä.mp4",
    span=Span(0, 50),
    track=0,
    speaker="s1",
    language=None,
    window_px=300.0,
    size_px=224,
    av_offset_ms=-40,
    input_sha256="0" * 64,
    input_bytes=7,
    fingerprint="f" * 16,
    backends={"sync": "envelope"},
    checks=(
        Check(stage="scenes", reason="too_short", score=2.0, operator=">=", threshold=1.5, setting="scenes.min_shot_s"),
        Check(stage="sync", reason="offset", score=None, operator="<=", threshold=8),
    ),
    measurements=Measurements.from_stages(STAGES),
    start_s=1.5,
    origin=Origin(id="film", start_s=1.0, box=(0.1, 0.2, 0.3, 0.4)),
    labels=Labels(values={"emotion": "happy"}, subject="p1", folds={"own": 2}),
    audio_fingerprint=encode_fingerprint(bytes(range(200))),
    file_sha256="1" * 64,
    crop_px=(10.0, 0.0, 330.25, 300.0),
)


def test_a_record_is_read_as_it_was_written() -> None:
    assert ClipRecord.from_json(RECORD.to_json(), "x") == RECORD
    plain = replace(RECORD, labels=None, origin=None, measurements=Measurements())
    assert ClipRecord.from_json(plain.to_json(), "x") == plain
    assert b'"labels"' not in plain.to_json()


def test_a_record_of_an_earlier_version_has_no_fingerprint_of_its_sound() -> None:
    older = json.loads(RECORD.to_json())
    del older["audio_fingerprint"]
    assert ClipRecord.from_json(json.dumps(older).encode(), "x") == replace(RECORD, audio_fingerprint=None)
    assert b"audio_fingerprint" not in replace(RECORD, audio_fingerprint=None).to_json()
    assert decode_fingerprint(RECORD.audio_fingerprint or "", KEY).tobytes() == bytes(range(200))
    for text in ("no base64!", "AAAA"):  # three bytes are no word
        with pytest.raises(FaultError, match=f"{KEY}: its audio_fingerprint is no base64 of 32-bit words"):
            decode_fingerprint(text, KEY)


def test_a_record_of_an_earlier_version_does_not_say_where_its_crop_is() -> None:
    older = replace(RECORD, crop_px=None)
    assert b"crop_px" not in older.to_json()
    assert ClipRecord.from_json(older.to_json(), "x") == older
    damaged = json.loads(RECORD.to_json()) | {"crop_px": [1, 2, 3]}
    with pytest.raises(FaultError, match=f"{KEY}: the record: crop_px must be four numbers"):
        ClipRecord.from_json(json.dumps(damaged).encode(), "x")


FRAME_LABELS = FrameLabels(
    first_frame=7, columns={"AU1": array("d", [0, 1, math.nan]), "AU2": array("d", [0.5, 1, 0])}, total=900
)
SOURCE_FRAMES = SourceFrames(numbers=(7, 8, 10), times_s=(0.2, 0.233333, 0.3), shown=(7, 10))
FRAMEWISE = replace(
    RECORD, labels=Labels(values={}, frames={"action_units": FRAME_LABELS}, source_frames=SOURCE_FRAMES)
)


def test_labels_of_frames_are_read_as_they_were_written() -> None:
    values = json.loads(FRAMEWISE.to_json())["labels"]
    assert values["frames"]["action_units"]["columns"] == {"AU1": [0, 1, None], "AU2": [0.5, 1, 0]}
    assert ClipRecord.from_json(FRAMEWISE.to_json(), "x") == FRAMEWISE
    assert ClipRecord.from_json(FRAMEWISE.to_json(), "x") != replace(FRAMEWISE, labels=RECORD.labels)
    assert b"frames" not in json.dumps(json.loads(RECORD.to_json())["labels"]).encode()


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("frames",), [1], "labels: frames: must be a JSON object"),
        (("frames", "action_units", "total"), None, "action_units: total must be a whole number"),
        (("frames", "action_units", "columns", "AU1"), ["x", 1, 2], "columns: AU1 must be a list of numbers"),
        (("frames", "action_units", "columns", "AU1"), [1], "columns must have one value a frame each"),
        (("source_frames", "numbers"), [7, 8, 10.5], "source_frames: numbers must be a list of whole numbers"),
        (("source_frames", "shown"), [7, 9], "source_frames: numbers and times_s must be equally many"),
        (("source_frames", "times_s"), [0.2], "source_frames: numbers and times_s must be equally many"),
    ],
)
def test_broken_labels_of_frames_are_named(path: tuple[str, ...], value: Any, words: str) -> None:
    values = json.loads(FRAMEWISE.to_json())
    change_field("labels", *path, value=value)(values)
    with pytest.raises(FaultError, match=f"^{KEY}: .*{words}"):
        ClipRecord.from_json(json.dumps(values).encode(), "x")


def test_the_json_has_what_the_stages_measured() -> None:
    assert json.loads(RECORD.to_json())["measurements"] == STAGES
    with pytest.raises(TypeError, match="colour"):
        Measurements.from_stages({"silence": STAGES["silence"] | {"colour": 1}})


def test_names_of_a_later_version_are_ignored() -> None:
    values = json.loads(RECORD.to_json())
    values["measurements"]["silence"]["colour"] = 1
    values["measurements"]["smell"] = 3
    values["mood"] = "good"
    assert ClipRecord.from_json(json.dumps(values).encode(), "x") == RECORD


def change_field(*path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(values: dict[str, Any]) -> None:
        for name in path[:-1]:
            values = values[name]
        values[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (change_field("span", value=[0, 50]), "record: span: must be a JSON object"),
        (change_field("span", value={"start_frame": 50, "stop_frame": 0}), r"span: \[50, 0\) is no range of frames"),
        (change_field("span", "start_frame", value=True), "span: start_frame must be a whole number, and is True"),
        (change_field("video_id", value=None), "video_id must be text, and is None"),
        (change_field("window_px", value="300"), "window_px must be a number, and is '300'"),
        (change_field("backends", "sync", value=1), "backends: sync must be text"),
        (change_field("checks", value={}), "checks must be a list"),
        (change_field("checks", value=[1]), "checks: must be a JSON object"),
        (
            change_field("checks", value=[{"stage": "a", "reason": "b", "operator": "<", "threshold": 1}]),
            "operator '<' is none",
        ),
        (change_field("measurements", value=None), "measurements: must be a JSON object"),
        (change_field("measurements", "scenes", "no_sound_s", value=None), "scenes: no_sound_s must be a number"),
        (change_field("measurements", "silence", "speech", value=1), "silence: speech must be true or false"),
        (change_field("labels", value="happy"), "labels: must be a JSON object"),
        (change_field("labels", "values", "emotion", value=3), "labels: values: emotion must be text"),
        (change_field("labels", "folds", value={"own": "x"}), "folds: own must be a whole number"),
        (change_field("origin", "box", value=[1, 2]), "origin: box must be four numbers"),
    ],
)
def test_a_broken_field_is_named(change: Callable[[dict[str, Any]], None], words: str) -> None:
    values = json.loads(RECORD.to_json())
    change(values)
    with pytest.raises(FaultError, match=f"^{KEY}: the record.*{words}|^{KEY}: .*{words}"):
        ClipRecord.from_json(json.dumps(values).encode(), "x")


def test_every_field_that_has_no_default_must_be_there() -> None:
    for name in (field.name for field in fields(ClipRecord)):
        values = json.loads(RECORD.to_json())
        del values[name]
        if name in (
            "speaker",
            "language",
            "start_s",
            "origin",
            "labels",
            "audio_fingerprint",
            "file_sha256",
            "crop_px",
        ):
            ClipRecord.from_json(json.dumps(values).encode(), "x")
        else:
            with pytest.raises(FaultError, match=name):
                ClipRecord.from_json(json.dumps(values).encode(), "x")


@pytest.mark.parametrize("data", [b"", b"\xff", b"{", b"[]", b"[" * 100_000, b'{"schema_version": 1, "key": "../x"}'])
def test_data_that_is_no_record_is_refused(data: bytes) -> None:
    with pytest.raises(FaultError, match=r"^x: the record"):
        ClipRecord.from_json(data, "x")


def test_a_record_without_a_version_is_refused() -> None:
    record = {"key": KEY, "video": "a.mp4", "parent": "a.mp4", "measures": {}}
    with pytest.raises(UserError, match="x: is not the clip record file of avf-foundry"):
        ClipRecord.from_json(json.dumps(record).encode(), "x")


def test_the_stage_of_a_package_has_its_plain_values_in_the_record() -> None:
    added = {"glasses": {"bridge": 1.5, "rims": None, "sides": ["left", "right"]}}
    record = replace(RECORD, measurements=Measurements.from_stages(STAGES | added))
    assert json.loads(record.to_json())["measurements"] == STAGES | added
    assert ClipRecord.from_json(record.to_json(), "x") == record
    values = json.loads(record.to_json())
    values["measurements"]["glasses"]["shape"] = {"round": 1}
    assert ClipRecord.from_json(json.dumps(values).encode(), "x") == record
