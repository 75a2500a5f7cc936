"""Tracks and labels are joined by frame number, whatever the rate, gaps, lengths and names of videos."""

import resource
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from avf_shards.errors import UserError
from avf_training.evaluation.metrics import Floats
from avf_training.framewise.labels.label_track import LabelTrack
from avf_training.framewise.labels.tasks import find_task
from avf_training.framewise.sampling.normalization import ScaleKind, fit_scale, fit_scale_of_parts
from avf_training.framewise.tracks.errors import MissingTrackError, OtherTrackError
from avf_training.framewise.tracks.feature_track import FeatureTrack, write_track
from avf_training.framewise.tracks.identity import ExtractorIdentity, TrackSubject
from avf_training.framewise.tracks.track_folder import TrackFolder
from avf_training.framewise.training import row_store
from avf_training.framewise.training.frame_network import FrameModelSpec, FrameNetwork
from avf_training.framewise.training.frame_prediction import predict_frames, predict_rows
from avf_training.framewise.training.frame_recipe import FrameRecipe
from avf_training.framewise.training.frame_scores import score_frames
from avf_training.framewise.training.joined_tracks import JoinedTracks, JoinedTracksReader, label_rows
from avf_training.framewise.training.predict_tracks import RunPredictor, TrackPrediction
from avf_training.framewise.training.row_store import RowStore
from avf_training.framewise.training.window_data import (
    RowsOfVideo,
    choose_rows,
    cut_evaluation_windows,
    cut_training_windows,
    fit_scales,
    scale_video,
)
from avf_training.framewise.training.window_loader import WindowLoader
from hypothesis import given, settings
from hypothesis import strategies as st

RECIPE = FrameRecipe(model="temporal_v5", visual=("looks",), window=10, threads=1)
VIDEO = TrackSubject(source="lab", video_id="1")


def write_features(folder: Path, extractor: str, video: str, frames: Any, *, fps: float = 25.0, width: int = 8) -> None:
    """Write a track whose vectors are the numbers of their frames."""
    numbers = np.asarray(frames, np.int64)
    subject = TrackSubject(source="lab", video_id=video)
    track = FeatureTrack(
        subject=subject,
        extractor=ExtractorIdentity.from_settings(extractor, {}, "ab" * 32),
        fps=fps,
        inputs_sha256="cd" * 32,
        frames_N=numbers,
        times_s_N=(numbers - 1) / fps,
        vectors_ND=np.repeat(numbers[:, None], width, 1).astype(np.float32),
    )
    write_track(TrackFolder(folder).path(extractor, subject), track)


def make_tracks(frames: Any, fps: float = 25.0) -> JoinedTracks:
    """One stream of eight noisy features."""
    numbers = np.asarray(frames, np.int64)
    features = np.random.default_rng(0).standard_normal((len(numbers), 8)).astype(np.float32)
    return JoinedTracks(
        subject=VIDEO,
        fps=fps,
        frames_N=numbers,
        times_s_N=(numbers - 1) / fps,
        streams=(features,),
        inputs_sha256="ab",
    )


def make_labels(frames: Any, fps: float = 25.0) -> LabelTrack:
    """Valence is the hundredth of the frame's number."""
    numbers = np.asarray(frames, np.int64)
    return LabelTrack(
        subject=VIDEO,
        task=find_task("va"),
        split="train",
        group="1",
        person=None,
        scene=None,
        fps=fps,
        frames_N=numbers,
        times_s_N=(numbers - 1) / fps,
        values_NK=np.repeat(numbers[:, None] % 100 / 100, 2, 1).astype(np.float32),
    )


def make_network(recipe: FrameRecipe = RECIPE) -> FrameNetwork:
    torch.manual_seed(0)
    identities = {"looks": ExtractorIdentity.from_settings("looks", {}, "ab" * 32)}
    return FrameNetwork(FrameModelSpec(recipe=recipe, task=find_task("va"), identities=identities, widths=(8,))).eval()


def test_looks_are_joined_exactly_and_sound_by_the_nearest_row(tmp_path: Path) -> None:
    write_features(tmp_path, "looks", "1", range(1, 61))
    write_features(tmp_path, "more", "1", [*range(1, 21), *range(31, 61)])
    write_features(tmp_path, "sounds", "1", range(1, 31, 5))
    joined = JoinedTracksReader(tmp_path, ("looks", "more"), ("sounds",)).read(VIDEO)
    assert joined.frames_N.tolist() == [*range(1, 21), *range(31, 61)]
    assert joined.streams[1][:, 0].tolist() == joined.frames_N.tolist()
    heard = dict(zip(joined.frames_N.tolist(), joined.streams[2][:, 0].tolist(), strict=True))
    assert (heard[1], heard[3], heard[4], heard[20]) == (1, 1, 6, 21)
    assert heard[31] == 0, "26 is the last row of sound, too far from 31"
    assert heard[60] == 0


def test_two_persons_of_a_film_hear_its_sound_and_have_their_own_looks(tmp_path: Path) -> None:
    for video in ("10", "1", "10-60-1280x720_right", "10-60-1280x720"):
        write_features(tmp_path, "looks", video, range(1, 31))
    write_features(tmp_path, "sounds", "10-60-1280x720", range(1, 31))
    write_features(tmp_path, "sounds", "1", range(1, 31))
    reader = JoinedTracksReader(tmp_path, ("looks",), ("sounds",))
    right = TrackSubject(source="lab", video_id="10-60-1280x720_right")
    assert reader.read(right).streams[1][:, 0].tolist() == list(range(1, 31))
    with pytest.raises(MissingTrackError, match=r"sounds/lab/10\.parquet: no such track"):
        reader.read(TrackSubject(source="lab", video_id="10"))
    with pytest.raises(MissingTrackError, match="10-60-1280x720_left"):
        reader.read(TrackSubject(source="lab", video_id="10-60-1280x720_left"))
    assert {subject.video_id for subject in reader.subjects()} == {"1", "10", "10-60-1280x720", "10-60-1280x720_right"}


def test_rates_and_sizes_that_disagree_are_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_features(tmp_path, "looks", "1", range(1, 31), fps=30)
    write_features(tmp_path, "more", "1", range(1, 31), fps=25)
    write_features(tmp_path, "looks", "2", range(1, 31), fps=30, width=9)
    with pytest.raises(OtherTrackError, match="25 frames a second in the more track of lab/1, and 30 in looks"):
        JoinedTracksReader(tmp_path, ("looks", "more"), ()).read(VIDEO)
    reader = JoinedTracksReader(tmp_path, ("looks",), ())
    reader.read(VIDEO)
    with pytest.raises(OtherTrackError, match="has vectors of 9 values, not the 8"):
        reader.read(TrackSubject(source="lab", video_id="2"))
    with pytest.raises(OtherTrackError, match="25 frames a second in the labels of lab/1, and 6 in its tracks"):
        label_rows(make_tracks(range(1, 31), fps=6), make_labels(range(1, 31)))
    label_rows(make_tracks(range(1, 31), fps=30000 / 1001), make_labels(range(1, 31), fps=29.97))
    assert not caplog.text
    label_rows(make_tracks(range(1, 31), fps=30), make_labels(range(1, 31), fps=29.97))
    assert "0.6 s apart after ten minutes" in caplog.text


@settings(max_examples=60, deadline=None)
@given(
    fps=st.sampled_from([6.0, 23.976, 25.0, 29.97, 30.0, 60.0]),
    missing=st.sets(st.integers(2, 119), max_size=60),
    labels=st.integers(1, 300),
)
def test_each_row_has_the_label_of_its_frame(fps: float, missing: set[int], labels: int) -> None:
    frames = [number for number in range(1, 121) if number not in missing]
    joined = label_rows(make_tracks(frames, fps), make_labels(range(1, labels + 1), fps))
    values = joined.frames_R % 100 / 100
    assert joined.values_RK[:, 0] == pytest.approx(values, abs=1e-6)
    own = joined.frames_R <= frames[-1]
    assert np.array_equal(np.asarray(frames)[joined.rows_R[own]], joined.frames_R[own])
    assert set(joined.frames_R[own].tolist()) == {number for number in frames if number <= labels}
    behind = joined.frames_R[~own]
    assert behind.tolist() == list(range(121, min(labels, 120 + int(fps)) + 1)), "up to a second repeats the last row"
    assert (joined.rows_R[~own] == len(frames) - 1).all()


def test_labels_without_a_frame_are_refused() -> None:
    with pytest.raises(UserError, match="labels are of the frames 500 to 599, tracks of 1 to 100; none has both"):
        label_rows(make_tracks(range(1, 101)), make_labels(range(500, 600)))


@settings(max_examples=40, deadline=None)
@given(
    fps=st.sampled_from([6.0, 7.4, 20.38, 24.0, 25.0, 29.97, 60.0]),
    frames=st.integers(1, 400),
    gap=st.integers(0, 120),
    model=st.sampled_from(["temporal_v4", "temporal_v5", "temporal_v6", "temporal_v7", "fusion_transformer"]),
)
def test_every_frame_gets_a_prediction(fps: float, frames: int, gap: int, model: Any) -> None:
    """Also of a video that is shorter than a window, or has a gap."""
    recipe = replace(RECIPE, model=model, hidden=(8, 8, 4))
    numbers = [*range(1, frames // 2 + 1), *range(frames // 2 + 1 + gap, frames + 1 + gap)]
    network = make_network(recipe)
    predicted = predict_frames(network, make_tracks(numbers, fps))
    assert predicted.shape == (frames, 2)
    assert np.isfinite(predicted).all()


@pytest.mark.parametrize("rows", [1, 4, 9, 10, 11, 37])
@pytest.mark.parametrize("last", ["append", "overwrite_or_never"])
def test_windows_to_score_hold_all_rows_of_short_and_long_videos(rows: int, last: Any) -> None:
    recipe = replace(RECIPE, protocol_options={"last_window": last})
    numbers = np.arange(1, rows * 5 + 1, 5)
    windows = cut_evaluation_windows(numbers, recipe, recipe.options)
    used = set(windows.rows_VT[windows.valid_VT].tolist())
    assert rows - 1 in used, "the last row is scored"
    assert last == "overwrite_or_never" or used == set(range(rows))
    video = RowsOfVideo(
        labels=make_labels(numbers),
        streams=(np.zeros((rows, 8), np.float32),),
        rows_N=np.arange(rows),
        frames_N=numbers,
        values_NK=np.zeros((rows, 2), np.float32),
    )
    trained = cut_training_windows(video, recipe, recipe.options)
    assert len(trained.rows_VT) == (0 if rows < 10 else 1 if rows == 10 else len(trained.rows_VT))
    assert predict_rows(make_network(recipe), video.streams, numbers, recipe.options).shape == (rows, 2)


def test_a_gap_is_in_no_training_window_and_rows_without_a_valid_label_are_dropped() -> None:
    labels = make_labels(range(1, 401))
    labels.values_NK[100:200, 1] = np.nan
    video = choose_rows(make_tracks(range(1, 401)), labels, RECIPE)
    assert np.isfinite(video.values_NK).all()
    assert not ((video.frames_N > 100) & (video.frames_N <= 200)).any()
    windows = cut_training_windows(video, RECIPE, RECIPE.options)
    for rows_T in windows.rows_VT:
        assert np.ptp(video.frames_N[rows_T]) == 45
    slow = choose_rows(make_tracks(range(1, 61), fps=6.0), make_labels(range(1, 61), fps=6.0), RECIPE)
    assert slow.frames_N.tolist() == list(range(1, 61)), "at six frames a second every row is read"


def test_padding_of_a_short_clip_changes_nothing() -> None:
    recipe = replace(RECIPE, model="fusion_transformer", window=50, hidden=(8, 8, 4))
    network, tracks = make_network(recipe), make_tracks(range(1, 21))
    short = predict_frames(network, tracks)
    of_one_window = predict_frames(make_network(replace(recipe, window=20)), tracks)
    assert short == pytest.approx(of_one_window, abs=1e-6)


@pytest.mark.parametrize("kind", ["none", "min_max", "standard", "video_min_max", "video_standard"])
def test_normalizations_are_of_the_training_set_or_of_each_video(kind: Any) -> None:
    recipe = replace(RECIPE, normalization=kind)
    videos = []
    for number in range(2):
        video = choose_rows(make_tracks(range(1, 201)), make_labels(range(1, 201)), recipe)
        videos.append(replace(video, streams=(video.streams[0] * (number + 1) + number,)))
    scaled = [scale_video(video, recipe, fit_scales(videos, recipe)).read(0) for video in videos]
    groups = scaled if kind.startswith("video") else [np.concatenate(scaled)]
    for group in groups:
        if kind.endswith("min_max"):
            assert group.min(0) == pytest.approx(np.zeros(8), abs=1e-6)
            assert group.max(0) == pytest.approx(np.ones(8), abs=1e-6)
        elif kind.endswith("standard"):
            assert group.mean(0) == pytest.approx(np.zeros(8), abs=1e-5)
            assert group.std(0) == pytest.approx(np.ones(8), abs=1e-5)
        else:
            assert np.array_equal(group, np.concatenate([video.read(0) for video in videos]))


def test_an_epoch_has_every_window_once_and_a_state_goes_on() -> None:
    recipe = replace(RECIPE, batch=4, normalization="none")
    videos = [choose_rows(make_tracks(range(1, 401)), make_labels(range(1, 401)), recipe)]
    loader = WindowLoader(videos, recipe, recipe.options, torch.device("cpu"))
    batches = iter(loader)
    epoch = [next(batches) for _ in range(loader.steps_per_epoch)]
    firsts = [float(window[0, 0]) for batch in epoch for window in batch.streams[0]]
    assert len(set(firsts)) == len(firsts) == loader.steps_per_epoch * 4
    state = loader.state_dict()
    later = [next(batches) for _ in range(3)]
    other = WindowLoader(videos, recipe, recipe.options, torch.device("cpu"))
    other.load_state_dict(state)
    for batch, repeated in zip(later, iter(other), strict=False):
        assert batch.number == repeated.number
        assert torch.equal(batch.streams[0], repeated.streams[0])
    with pytest.raises(UserError, match="the checkpoint is of 3 training windows"):
        other.load_state_dict({"windows": 3, "step": 1})


def test_constant_predictions_score_nothing_and_undefined_scores_are_nan() -> None:
    truth = np.linspace(-1, 1, 50)[:, None].repeat(2, 1)
    assert score_frames(find_task("va"), truth, np.full((50, 2), 0.3))["mean CCC"] == pytest.approx(0)
    assert np.isnan(score_frames(find_task("va"), np.full((50, 2), 0.3), np.full((50, 2), 0.3))["mean CCC"])
    swapped = replace(RECIPE, protocol_options={"dynamic_development": "swapped_unnormalized"}).options
    predicted = np.stack([truth[:, 0], -truth[:, 0]], 1)
    assert score_frames(find_task("va"), truth, predicted)["CCC valence"] == pytest.approx(1)
    assert score_frames(find_task("va"), truth, predicted, swapped)["CCC valence"] == pytest.approx(-1)


def test_rows_on_the_disk_are_those_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_store, "FILE_BYTES", 1000)
    store = RowStore(tmp_path / "run/that/is/not/there")
    arrays = [np.arange(size * 3, dtype=kind).reshape(size, 3) for size in (7, 0, 500, 11) for kind in ("f2", "f4")]
    stored = [store.keep(array) for array in arrays]
    for array, mapped in zip(arrays, stored, strict=True):
        assert mapped.dtype == array.dtype
        assert np.array_equal(mapped, array)
    assert not stored[0].flags.writeable
    assert not list(tmp_path.iterdir()), "no file has a name"


def test_a_disk_too_small_for_the_rows_is_an_error_of_its_own(tmp_path: Path) -> None:
    store = RowStore(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, limits[1]))
    try:
        with pytest.raises(UserError, match=r"File too large.*rows_in=memory"):
            store.keep(np.zeros(1 << 20))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)


def test_scales_of_parts_are_those_of_all_rows() -> None:
    features = np.random.default_rng(4).standard_normal((60, 5)) * [1, 5, 0, 3, 2] + [0, 9, 4, 0, 1]
    parts = [features[:20], features[20:20], features[20:]]
    kinds: tuple[ScaleKind, ...] = ("none", "min_max", "standard")
    for kind in kinds:
        expected, scale = fit_scale(features, kind), fit_scale_of_parts(lambda: parts, 5, kind)
        assert scale.offset_D == pytest.approx(expected.offset_D, rel=1e-12)
        assert scale.width_D == pytest.approx(expected.width_D, rel=1e-12)


def test_two_processes_that_predict_into_one_folder_share_the_work(tmp_path: Path) -> None:
    for video in ("1", "2"):
        write_features(tmp_path / "T", "looks", video, range(1, 31))
    network = make_network(RECIPE)
    identity = ExtractorIdentity.from_settings("m", {"task": "va"}, "ab" * 32)

    def predict(tracks: JoinedTracks) -> Floats:
        return np.full((len(tracks.frames_N), 2), 0.5)

    faster = RunPredictor(spec=network.spec, identity=identity, predict=predict)

    def predict_late(tracks: JoinedTracks) -> Floats:
        TrackPrediction(faster, tmp_path / "T", tmp_path / "P").run(lambda subject: None)
        return predict(tracks)

    report = TrackPrediction(replace(faster, predict=predict_late), tmp_path / "T", tmp_path / "P").run(
        lambda subject: None
    )
    assert (report.written, report.skipped, report.faults) == (0, 2, [])


def test_a_damaged_track_costs_its_own_predictions(tmp_path: Path) -> None:
    for video in ("1", "2", "3"):
        write_features(tmp_path / "T", "looks", video, range(1, 31))
    (tmp_path / "T/looks/lab/2.parquet").write_bytes(b"hi")
    identity = ExtractorIdentity.from_settings("m", {"task": "va"}, "ab" * 32)
    predictor = RunPredictor(
        spec=make_network().spec, identity=identity, predict=lambda tracks: np.zeros((len(tracks.frames_N), 2))
    )
    report = TrackPrediction(predictor, tmp_path / "T", tmp_path / "P").run(lambda subject: None)
    assert report.written == 2
    (fault,) = report.faults
    assert "looks/lab/2.parquet: not readable as feature track" in fault
