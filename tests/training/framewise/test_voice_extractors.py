"""Tracks that tell when somebody speaks, with a predictor of landmarks that is trained on two drawn pictures."""

from pathlib import Path

import cv2
import dlib
import numpy as np
import pytest
from avf_shards.errors import UserError
from avf_training.framewise.sampling.mouth import DLIB_LIPS, mouth_area
from avf_training.framewise.tracks.feature_track import FeatureTrack
from avf_training.framewise.tracks.identity import ExtractorIdentity, TrackSubject
from avf_training.framewise.tracks.loading import load_extractor
from avf_training.framewise.tracks.picture_folders import PictureFootage
from avf_training.framewise.tracks.sound_files import SoundFootage
from avf_training.framewise.tracks.voice_extractors import MARGIN_PX, SIDE_PX, MouthExtractor, open_frames

FACE = dlib.rectangle(MARGIN_PX + 64, MARGIN_PX + 64, MARGIN_PX + 192, MARGIN_PX + 192)


def train_predictor(path: Path, points: int = 68) -> np.ndarray:
    """Train landmarks on a circle in two pictures; return them in the pictures that the extractor makes."""
    angles = np.arange(points) * 2 * np.pi / points
    circle = np.stack([128 + MARGIN_PX + 40 * np.cos(angles), 128 + MARGIN_PX + 40 * np.sin(angles)], 1).round()
    drawn = np.random.default_rng(0).integers(0, 255, (SIDE_PX + 2 * MARGIN_PX,) * 2).astype(np.uint8)
    parts = dlib.points([dlib.point(int(x), int(y)) for x, y in circle])
    truth = dlib.full_object_detections([dlib.full_object_detection(FACE, parts)])
    options = dlib.shape_predictor_training_options()
    options.cascade_depth, options.num_trees_per_cascade_level, options.tree_depth = 1, 1, 1
    options.num_test_splits, options.oversampling_amount, options.feature_pool_size = 2, 1, 2
    options.num_threads, options.be_verbose = 1, False
    dlib.train_shape_predictor([drawn, drawn], [truth, truth], options).save(str(path))
    return circle


def test_the_area_between_the_lips_is_that_of_the_landmarks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    circle = train_predictor(tmp_path / "landmarks.dat")
    for number in (1, 2, 3):
        assert cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((SIDE_PX, SIDE_PX, 3), 80 * number, np.uint8))
    extractor = load_extractor("mouth", tmp_path / "landmarks.dat")
    assert isinstance(extractor, MouthExtractor)
    seen = []

    def find_faces(grey_PP: np.ndarray, _: int) -> list[dlib.rectangle]:
        seen.append(int(grey_PP[SIDE_PX // 2, SIDE_PX // 2]))
        assert grey_PP.shape == (SIDE_PX + 2 * MARGIN_PX,) * 2
        assert not grey_PP[:MARGIN_PX].any()
        return [] if len(seen) == 2 else [dlib.rectangle(0, 0, 9, 9), FACE]

    monkeypatch.setattr(extractor, "_find_faces", find_faces)
    vectors = extractor.extract(PictureFootage(files=tuple(tmp_path / f"{n}.png" for n in (1, 2, 3)), fps=25.0))
    assert seen == [80, 160, 240]
    assert vectors.rows_R.tolist() == [0, 2], "the second picture has no face"
    expected = mouth_area(circle[None] / SIDE_PX, DLIB_LIPS)[0]
    assert vectors.vectors_RD[:, 0] == pytest.approx([expected, expected], rel=0.1)


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.dat").write_text("no predictor")
    with pytest.raises(UserError, match=r"text\.dat: is no shape predictor of dlib"):
        load_extractor("mouth", tmp_path / "text.dat")
    train_predictor(tmp_path / "five.dat", points=5)
    with pytest.raises(UserError, match=r"five\.dat: predicts 5 landmarks; name .*, or use --extractor speech"):
        load_extractor("mouth", tmp_path / "five.dat")


def test_silence_and_noise_are_no_speech() -> None:
    extractor = load_extractor("speech", None)
    wave = np.concatenate([np.zeros(8_000), np.random.default_rng(0).uniform(-0.1, 0.1, 8_000)]).astype(np.float32)
    vectors = extractor.extract(SoundFootage(wave_S=wave, rate=25.0)).vectors_RD
    assert vectors.shape == (25, 1)
    assert 0 <= vectors.min() <= vectors.max() < 0.5
    again = extractor.extract(SoundFootage(wave_S=wave, rate=25.0)).vectors_RD
    np.testing.assert_array_equal(vectors, again)


def track(name: str, frames: list[int], values: np.ndarray) -> FeatureTrack:
    return FeatureTrack(
        subject=TrackSubject(source="lab", video_id="v"),
        extractor=ExtractorIdentity.from_settings(name, {}, "ab" * 32),
        fps=25.0,
        inputs_sha256="cd" * 32,
        frames_N=np.array(frames, np.int64),
        times_s_N=(np.array(frames) - 1) / 25,
        vectors_ND=np.asarray(values, np.float32).reshape(len(frames), -1),
    )


def test_lips_are_open_above_the_mean_and_closed_where_they_are_not_seen() -> None:
    frames = [*range(1, 61), *range(71, 131)]
    opened = open_frames(track("mouth", frames, np.repeat([0.0, 1.0], 60)), 140)
    assert opened.shape == (140,)
    assert not opened[:85].any(), "the trailing mean of 30 passes one half behind frame 85"
    assert opened[86:130].all()
    assert not opened[130:].any()


def test_speech_is_where_it_is_more_probable_than_not() -> None:
    opened = open_frames(track("speech", [1, 2, 3, 4], np.array([0.2, 0.5, 0.9, 0.49])), 3)
    assert opened.tolist() == [False, True, True]
    with pytest.raises(UserError, match="lab/v: the track of vit does not tell when somebody speaks"):
        open_frames(track("vit", [1], np.zeros((1, 8))), 1)
