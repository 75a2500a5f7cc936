"""Folds group the persons of a file, exact names are whole names, and the script of 2022 leaks."""

from pathlib import Path

import numpy as np
import pytest
from avf_shards.errors import UserError
from avf_training.evaluation.metrics import Floats
from avf_training.framewise.ensemble.folds import folds_of_2022, grouped_folds, media_stem
from avf_training.framewise.ensemble.scenes import (
    Scene,
    SceneChoice,
    SceneMeasures,
    answer_by_scene,
    propose_scene,
    read_scenes,
    write_scenes,
)
from hypothesis import given
from hypothesis import strategies as st

CONTAINED = ["1", "10", "10-60-1280x720", "10-60-1280x720_right", "video1", "video10_1", "video10_1_left", "110"]


@given(seed=st.integers(0, 50), frames=st.lists(st.integers(0, 500), min_size=8, max_size=8))
def test_every_video_is_in_one_fold_with_the_others_of_its_file(seed: int, frames: list[int]) -> None:
    counts = dict(zip(CONTAINED, frames, strict=True))
    plan = grouped_folds(counts, seed=seed)
    assert sorted(video for fold in plan.folds for video in fold) == sorted(CONTAINED)
    assert all(plan.folds), "no fold is empty"
    for fold, videos in enumerate(plan.folds):
        training = plan.training_videos(fold)
        assert not {media_stem(video) for video in videos} & {media_stem(video) for video in training}
        assert sorted([*videos, *training]) == sorted(CONTAINED)


def test_the_seed_decides_and_the_order_of_videos_does_not() -> None:
    counts = {f"v{index}": 100 for index in range(40)}
    assert grouped_folds(counts, seed=1) == grouped_folds(dict(reversed(counts.items())), seed=1)
    assert grouped_folds(counts, seed=1).folds != grouped_folds(counts, seed=2).folds
    assert [len(fold) for fold in grouped_folds(counts).folds] == [8] * 5


def test_folds_have_about_equally_many_frames() -> None:
    counts = {f"v{index}": 10 * index for index in range(1, 41)}
    totals = [sum(counts[video] for video in fold) for fold in grouped_folds(counts).folds]
    assert max(totals) - min(totals) <= 40


def test_fewer_files_than_folds_are_refused() -> None:
    with pytest.raises(UserError, match="5 folds need as many media files, but there are 4"):
        grouped_folds({"a_left": 1, "a_right": 1, "b": 1, "c": 1, "d": 1})


def test_suffixes_are_those_of_persons_alone() -> None:
    assert media_stem("video10_1") == "video10_1"
    assert media_stem("video10_1_left") == "video10_1"
    assert media_stem("10-60-1280x720_right") == "10-60-1280x720"


def test_the_script_of_2022_loses_videos_and_leaks_others() -> None:
    training = [f"{video}/{frame:05d}.jpg" for video in [*CONTAINED, *map(str, range(200, 212))] for frame in (1, 2)]
    plan = folds_of_2022(training, [f"w{index}/00001.jpg" for index in range(4)])
    assert plan.lost or any(fold.leaked for fold in plan.folds)
    assert any(fold.leaked for fold in plan.folds)


def test_a_scene_is_proposed_by_mouth_face_and_cuts_together() -> None:
    quiet = SceneMeasures(open_mouth_share=0.1, face_share=0.99, cuts_per_minute=0)
    assert propose_scene(quiet).scene == "reaction"
    for measures in (
        SceneMeasures(open_mouth_share=0.4, face_share=0.99, cuts_per_minute=0),
        SceneMeasures(open_mouth_share=0.1, face_share=0.5, cuts_per_minute=0),
        SceneMeasures(open_mouth_share=0.1, face_share=0.99, cuts_per_minute=5),
    ):
        assert propose_scene(measures).scene == "other"


def test_scenes_go_through_their_table_and_choose_the_answer(tmp_path: Path) -> None:
    scenes = {
        "b": SceneChoice(scene="other", reason='says "no", often'),
        "a": SceneChoice(scene="reaction", reason="=1+1"),
    }
    write_scenes(tmp_path / "scenes.csv", scenes)
    assert read_scenes(tmp_path / "scenes.csv") == scenes
    answers: dict[Scene, Floats] = {"reaction": np.ones((2, 2)), "other": np.zeros((2, 2))}
    assert answer_by_scene("a", scenes, answers).all()
    assert not answer_by_scene("new", scenes, answers).any()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("video,kind\n", "line 1: no column scene"),
        ("video,scene\na,other\nb,react\n", "line 3: scene 'react'; it is reaction or other"),
        ("video,scene\na,other\na,other\n", "line 3: video a again"),
        ("video,scene\n,other\n", "line 2: no video"),
        ("", "is empty; its first line must name the columns"),
    ],
)
def test_a_wrong_table_of_scenes_is_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "scenes.csv").write_text(text)
    with pytest.raises(UserError, match=message):
        read_scenes(tmp_path / "scenes.csv")


def test_a_missing_table_or_one_that_is_no_text_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        read_scenes(tmp_path / "none.csv")
    (tmp_path / "scenes.csv").write_bytes(b"video,scene\n\xff\xfe,other\n")
    with pytest.raises(UserError, match="not a CSV file in UTF-8"):
        read_scenes(tmp_path / "scenes.csv")
