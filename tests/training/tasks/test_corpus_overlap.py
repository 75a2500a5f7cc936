"""Recordings that two corpora share are found by name and by sound, reported by a command and before a study."""

import json
import logging
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from avf_curation.pipeline.outcomes import VideoOutcomes
from avf_curation.sources.types import Video
from avf_training.cli.main import main
from avf_training.data.storage import StorageConfig
from avf_training.tasks.corpus_overlap import find_overlap
from avf_training.tasks.labelled_shards import LabelledShards
from support.labelled import FRAMES, LABELS, curate_labelled_clip, make_dataset, make_label_rows, make_labelled_shards

SAME = ("lab/003.mp4", "more/005.mp4")  # one recording under two names
HUMS = ("lab/000.mp4", "more/000.mp4")  # a hum, which is no recording
UNKNOWN = ("more/001.mp4",)


def curate_with_fingerprint(video: Video, root: Path, settings: object, tools: object) -> VideoOutcomes:
    """Draw the clip and give it a sound of its own; the copy of a recording differs in each tenth bit."""
    outcomes = curate_labelled_clip(video, root, settings, tools)
    name = f"{video.source}/{video.path}"
    if name in UNKNOWN:
        return outcomes
    draw = np.random.default_rng(list((SAME[0] if name in SAME else name).encode()))
    words = draw.integers(2**32, size=FRAMES, dtype=np.uint32).astype("<u4")
    if name == SAME[1]:
        words[::2] ^= np.bitwise_or.reduce(1 << draw.integers(32, size=(6, FRAMES // 2), dtype=np.uint32)).astype("<u4")
    if name in HUMS:
        words[:] = 7
    (outcome,) = outcomes.outcomes
    (clip,) = outcome.clips
    clip = replace(clip, media=clip.media | {"fingerprint": words.tobytes()})
    return replace(outcomes, outcomes=(replace(outcome, clips=(clip,)),))


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("overlap")
    rows = {"lab": make_label_rows(3, 2), "more": make_label_rows(3, 2, first=50)}
    return make_labelled_shards(folder, rows, curate_with_fingerprint)


def test_a_recording_under_two_names_is_found_by_its_sound(shards: Path) -> None:
    overlap = find_overlap(LabelledShards([shards], StorageConfig()))
    assert overlap.clips == {"lab": 12, "more": 12}
    (double,) = overlap.shared
    assert (double.sources, double.shares, double.clips) == (("lab", "more"), "sound", 2)
    videos = {clip.key: f"{clip.source}/{clip.video_id}" for clip in LabelledShards([shards], StorageConfig()).clips()}
    assert {videos[key] for key in double.example} == set(SAME)
    assert overlap.unknown_sound == {"more": 1}
    assert any("more: 1 record of 12 have no fingerprint" in line for line in overlap.sentences())


def test_the_command_prints_the_overlap_and_json_has_it(shards: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["overlap", "--shards", str(shards)]) == 0
    printed = capsys.readouterr().out
    assert "sources: lab (12), more (12)" in printed
    assert "lab and more: 2 clips with the sound of another recording" in printed
    assert main(["overlap", "--shards", str(shards), "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["shared"][0]["shares"] == "sound"


def test_a_study_reports_the_overlap_before_it_starts(
    shards: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    values = {name: value for name, value in asdict(make_dataset()).items() if name in ("name", "folds", "label_field")}
    (tmp_path / "lab.yaml").write_text(yaml.safe_dump(values | {"labels": list(LABELS), "split": "subject_blocks"}))
    row = {"recipe": "nano", "stages": ["finetune"]}
    study = {"title": "A study", "rows": {"plain": row}, "datasets": [str(tmp_path / "lab.yaml")]}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    with caplog.at_level(logging.WARNING):
        options = ["--shards", str(shards), "--out", str(tmp_path / "out"), "--dry-run"]
        assert main(["study", str(tmp_path / "study.yaml"), *options]) == 0
    assert "lab and more: 2 clips with the sound of another recording" in caplog.text
