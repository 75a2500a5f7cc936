"""Promise: `avf-curate demo --forged` ends in shards of real and forged clips, all there, which know their truth."""

import csv
from collections.abc import Mapping
from pathlib import Path

import pytest
from avf_curation.demo.demo import forged_demo, run_demo
from avf_curation.demo.forged_corpus import ForgedCorpus
from avf_curation.forging.methods import METHODS
from avf_curation.recipe import load_recipe
from avf_shards.format.index import ShardReader
from avf_shards.format.shard_manifest import read_manifest
from avf_shards.schema.clip_record import ClipRecord

pytestmark = pytest.mark.timeout(1800)


def test_the_recipe_drops_nothing_and_moves_no_sound() -> None:
    settings = load_recipe(Path("deepfakes")).defaults
    gates = settings.gates
    assert {gates.scenes, gates.faces, gates.track, gates.speaker, gates.sync, gates.quality} == {"measure"}
    assert gates.silence == "skip"
    assert settings.scenes.detectors == ()


@pytest.mark.slow
def test_every_clip_is_kept_and_knows_what_was_forged(tmp_path: Path) -> None:
    demo = forged_demo(ForgedCorpus(people=3, frames=75))
    assert run_demo(tmp_path, "inline", 1, demo) == 0
    with open(tmp_path / "corpus/forged/labels.csv", newline="") as file:
        rows = {row["file"]: row for row in csv.DictReader(file)}
    records = read_records(tmp_path / "shards")
    assert set(records) == set(rows)
    assert len(rows) == 3 * (1 + len(METHODS))
    late = []
    for name, row in rows.items():
        record = records[name]
        assert record.av_offset_ms == 0
        assert record.span.frames == 75, "a clip is never cut"
        assert record.labels is not None
        truth = record.labels.forgery
        assert truth is not None
        assert (truth.is_fake, truth.original) == (row["fake"] == "1", row["original"])
        assert truth.segments is not None
        seconds = [f"{part.start_s:.2f}-{part.stop_s:.2f}" for part in truth.segments]
        assert seconds == ([row["segments"]] if row["segments"] else [])
        if row["method"] == "late":
            assert record.measurements.sync is not None
            late.append("offset" in record.measurements.sync.would_reject)
    assert any(late), "sync is measured, and drops nothing"
    assert_untouched_streams_equal(tmp_path / "shards", rows)
    before = {path: path.read_bytes() for path in (tmp_path / "shards").rglob("*") if path.is_file()}
    assert run_demo(tmp_path, "inline", 1, demo) == 0, "again, on what is there"
    assert {path: path.read_bytes() for path in before} == before


def assert_untouched_streams_equal(shards: Path, rows: Mapping[str, Mapping[str, str]]) -> None:
    """Assert that a clip's bytes of what was not forged are those of its original: they cannot tell a fake."""
    payloads_of = {}
    for entry in read_manifest(shards).shards:
        with ShardReader(shards / entry.shard) as reader:
            for key, payloads in reader.clips():
                payloads_of[ClipRecord.from_json(payloads["json"], key).video_id] = dict(payloads)
    for name, row in rows.items():
        if row["fake"] == "1":
            clip, real = payloads_of[name], payloads_of[row["original"]]
            assert (clip["mp4"] == real["mp4"]) == (row["forged"] == "audio"), name
            assert (clip["flac"] == real["flac"]) == (row["forged"] == "video"), name


def read_records(shards: Path) -> dict[str, ClipRecord]:
    records = {}
    for entry in read_manifest(shards).shards:
        with ShardReader(shards / entry.shard) as reader:
            for key, payloads in reader.clips():
                record = ClipRecord.from_json(payloads["json"], key)
                records[record.video_id] = record
    return records
