"""Scenes proposed from the measures of footage: who speaks, who watches, and what is cut."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from avf_shards.schema.clip_record import ClipRecord
from avf_shards.schema.measurements import (
    FacesMeasurements,
    Measurements,
    QualityMeasurements,
    ScenesMeasurements,
    SyncMeasurements,
)
from avf_shards.timeline import Span
from avf_training.cli.main import main
from avf_training.framewise.ensemble.scenes import read_scenes
from avf_training.framewise.labels import footage_measures
from avf_training.framewise.labels.footage_measures import count_shots, measure_footage
from avf_training.framewise.labels.label_track import list_label_tracks
from avf_training.framewise.labels.tasks import find_task
from avf_training.framewise.tracks.feature_track import write_track
from avf_training.framewise.tracks.track_folder import TrackFolder
from support.frame_predictions import SOURCE, make_prediction, write_labels
from support.records import make_clip_record


def make_clip(
    video: str, seconds: tuple[float, float], *, motion: float | None, shot_s: float = 60.0, faceless: int = 0
) -> ClipRecord:
    """A clip with five sampled frames, of which `faceless` have no face; `motion` is that of the mouth."""
    faces = FacesMeasurements(
        faces_per_frame={"0": faceless, "1": 5 - faceless}, frames=5, face_px=130.0, size_ratio=1.0, inside=1.0,
        aspect_low=1.0, aspect_high=1.0,
    )  # fmt: skip
    still = ("mouth_still",) if motion is not None and motion < 0.05 else ()
    sync = SyncMeasurements(
        backend="envelope", offset_frames=0, confidence=9.0, distance=None, length_s=8.0, mouth_motion=motion,
        would_reject=still,
    )  # fmt: skip
    scenes = ScenesMeasurements(length_s=shot_s, cut_off_s=0.0, no_picture_s=0.0, no_sound_s=0.0)
    return replace(
        make_clip_record("aff_wild2-000000000000-0-1-0"),
        source=SOURCE,
        video_id=video,
        span=Span(round(25 * seconds[0]), round(25 * seconds[1])),
        measurements=Measurements(faces=faces, scenes=scenes, sync=sync, quality=QualityMeasurements(subtitle_px=9.0)),
    )


class Reader:
    """Shards that hold these records alone."""

    clips: tuple[ClipRecord, ...] = ()

    def __init__(self, *unused: object) -> None:
        pass

    def records(self) -> list[tuple[int, ClipRecord]]:
        return list(enumerate(self.clips))


@pytest.fixture
def films(monkeypatch: pytest.MonkeyPatch) -> None:
    """A viewer, a speaker, a viewer who is cut every ten seconds, one who is often away, and one not measured."""
    cut = [make_clip("cut", (10 * n, 10 * n + 10), motion=0.01, shot_s=10.0) for n in range(6)]
    away = [make_clip("away", (0, 60), motion=0.01, faceless=1)]
    viewer = [make_clip("viewer", (30 * n, 30 * n + 30), motion=0.01) for n in range(2)]
    speaker = [make_clip("speaker", (0, 40), motion=0.01), make_clip("speaker", (40, 60), motion=0.2)]
    Reader.clips = (*cut, *away, *reversed(viewer), *speaker, make_clip("silent", (0, 60), motion=None))
    monkeypatch.setattr(footage_measures, "LabelledShards", Reader)


@pytest.mark.usefixtures("films")
def test_a_viewer_is_told_from_a_speaker_and_from_what_is_cut() -> None:
    faults: list[str] = []
    measures = measure_footage("shards", None, faults.append)
    assert {video: each.propose().scene for (_, video), each in measures.items()} == {
        "viewer": "reaction",
        "speaker": "other",
        "cut": "other",
        "away": "other",
    }
    rule = measures[SOURCE, "speaker"].rule
    assert rule.open_mouth_share == pytest.approx(1 / 3)
    assert (rule.face_share, rule.cuts_per_minute) == (1, 0)
    assert measures[SOURCE, "cut"].rule.cuts_per_minute == pytest.approx(5)
    assert measures[SOURCE, "away"].rule.face_share == pytest.approx(0.8)
    assert "1.0 faces a frame, 130 px wide, text" in measures[SOURCE, "viewer"].propose().reason
    assert len(faults) == 1
    assert "aff_wild2/silent: nothing says how often the mouth is open" in faults[0]


@pytest.mark.usefixtures("films")
def test_a_track_of_speech_stands_in_for_a_mouth_that_was_not_measured(tmp_path: Path) -> None:
    values = np.repeat([[0.9], [0.1], [0.1], [0.1], [0.1]], 20, 0)
    track = make_prediction("speech", "va", "silent", values)
    write_track(TrackFolder(tmp_path).path("speech", track.subject), track)
    faults: list[str] = []
    measures = measure_footage("shards", tmp_path, faults.append)
    assert measures[SOURCE, "silent"].rule.open_mouth_share == pytest.approx(0.2)
    assert faults == []


def test_clips_of_one_shot_are_one_shot() -> None:
    assert count_shots([make_clip("v", (10 * n, 10 * n + 10), motion=0.1, shot_s=30.0) for n in range(6)]) == 2
    assert count_shots([make_clip("v", (0, 5), motion=0.1), make_clip("v", (20, 30), motion=0.1)]) == 1


@pytest.mark.usefixtures("films")
def test_the_proposal_becomes_the_scene_of_the_labels(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for video in ("viewer", "speaker"):
        write_labels(tmp_path / "L", "va", video)
    scenes = tmp_path / "scenes.csv"
    words = ["frame-folds", str(tmp_path / "L"), "--task", "va", "--folds", "2", "--out", str(tmp_path / "f.json")]
    assert main([*words, "--footage", "shards", "--scenes", str(scenes)]) == 0
    assert {video: choice.scene for video, choice in read_scenes(scenes).items()} == {
        "viewer": "reaction",
        "speaker": "other",
        "cut": "other",
        "away": "other",
    }
    table = tmp_path / "t.csv"
    table.write_text("video,frame,valence,arousal\nviewer,1,0.1,0.2\nspeaker,1,0.1,0.2\nnew,1,0.1,0.2\n")
    out = tmp_path / "M"
    assert main(["frame-labels", str(table), "--fps", "30", "--scenes", str(scenes), "--out", str(out)]) == 0
    scene_of = {track.subject.video_id: track.scene for track in list_label_tracks(out, find_task("va"))}
    assert scene_of == {"viewer": "reaction", "speaker": "other", "new": None}
    assert f"{scenes}: 2 of 4 videos have no labels here: 'away', 'cut'" in caplog.text
    assert f"{scenes}: has no scene of 1 of 3 labelled videos" in caplog.text
    assert main([*words, "--voice", str(tmp_path)]) == 2
    assert "--voice belongs to --footage" in caplog.text
    scenes.write_text("video,scene\nviewer,reacts\n")
    assert main(["frame-labels", str(table), "--fps", "30", "--scenes", str(scenes), "--out", str(tmp_path / "N")]) == 2
    assert "line 2: scene 'reacts'; it is reaction or other" in caplog.text
