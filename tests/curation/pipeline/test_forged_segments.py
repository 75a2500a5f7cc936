"""A segment of a video is in the records of the clips that are cut from it, each on its own clock."""

import json
from pathlib import Path

import pytest
from avf_curation.demo.video import ShotScript, VideoScript, encode_video
from avf_curation.runs.curation import RunOptions, curate
from avf_shards.packing.pack import pack_shards
from avf_shards.packing.selection import Selection
from avf_shards.schema.clip_record import ClipRecord
from avf_training.data.storage import StorageConfig
from avf_training.tasks.labelled_shards import LabelledShards
from support.corpora import write_file
from support.curation_runs import EMBEDDED, make_recipe


@pytest.mark.slow
def test_a_segment_across_a_cut_is_in_both_clips(tmp_path: Path) -> None:
    shots = tuple(ShotScript(frames=75, speakers=(person,), seed=person) for person in (3, 4))
    name = "test/000001.mp4"
    write_file(tmp_path, f"in/{name}", encode_video(VideoScript(shots=shots)))
    row = {
        "file": name,
        "n_fakes": 2,
        "fake_periods": [[0.2, 0.6], [2.5, 3.4]],
        "duration": 6.0,
        "original": "test/000000.mp4",
        "modify_video": False,
        "modify_audio": True,
        "split": "test",
    }
    write_file(tmp_path, "in/metadata.json", json.dumps([row]))
    gates = [f"gates.{stage}=measure" for stage in ("scenes", "faces", "track", "sync", "quality")]
    run = curate(
        make_recipe("gates.silence=skip", *gates),
        EMBEDDED,
        {"lav_df": tmp_path / "in"},
        tmp_path / "run",
        RunOptions(engine="inline"),
    )
    pack_shards(run, tmp_path / "shards", Selection())
    records = {
        record.span.start_frame: record
        for _, record in LabelledShards([tmp_path / "shards"], StorageConfig()).records()
    }
    assert {start: record.span.stop_frame for start, record in records.items()} == {0: 75, 75: 150}
    assert segments_of(records[0]) == [(0.2, 0.6), (2.5, 3.0)]
    assert segments_of(records[75]) == [(0.0, 0.4)]
    assert {record.group_id for record in records.values()} == {"test/000000"}


def segments_of(record: ClipRecord) -> list[tuple[float, float]]:
    assert record.labels is not None
    assert record.labels.forgery is not None
    assert record.labels.forgery.is_fake
    return [(part.start_s, part.stop_s) for part in record.labels.forgery.segments or ()]
