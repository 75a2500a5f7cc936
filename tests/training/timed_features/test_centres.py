"""A token lies where its frame lies: an impulse at the centre of a frame is in the middle of the frame's token."""

from pathlib import Path

import numpy as np
import pytest
import torch
from avf_shards.errors import UserError
from avf_training.models.config import Geometry
from avf_training.timed_features.audio_frames import AudioFrames, audio_windows
from avf_training.timed_features.frame_rate import centre_pictures, centre_samples
from avf_training.timed_features.video_frames import VideoFrames
from avf_training.timed_features.windows import TokenContext, audio_clock, plan_windows, video_clock
from support.additive_models import add_nothing_else, save_additive_model
from support.models import save_pretrained_model

GEOMETRY = Geometry()
RATES = (12.5, 24.0, 25.0, 30000 / 1001, 30.0, 50.0, 60.0)
CONTEXTS: tuple[TokenContext, ...] = ("lattice", "dense")


@pytest.fixture(name="model", scope="module")
def _model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_additive_model(tmp_path_factory.mktemp("additive") / "model")


def test_the_clocks_are_those_of_patches_and_tubes() -> None:
    audio, video = audio_clock(GEOMETRY), video_clock(GEOMETRY)
    assert (audio.step, audio.centre, audio.reach, audio.tokens, audio.length) == (2560, 1400, 2800, 16, 40960)
    assert (video.step, video.centre, video.reach, video.tokens, video.length) == (8, 2, 4, 8, 64)


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("fps", RATES)
def test_each_planned_token_is_centred_on_its_frame(fps: float, context: TokenContext) -> None:
    for clock, centres in (
        (audio_clock(GEOMETRY), centre_samples(200, fps)),
        (video_clock(GEOMETRY), centre_pictures(200, fps)),
    ):
        plan = plan_windows(centres, clock, context)
        planned = plan.starts_W[plan.window_N] + clock.centre + clock.step * plan.token_N
        assert planned.tolist() == centres.tolist()
        quarter = clock.tokens // 4
        assert plan.token_N.min() >= quarter
        assert plan.token_N.max() < clock.tokens - quarter
        assert (np.diff(plan.starts_W) > 0).all()
        if context == "dense":
            assert set(plan.token_N) == {clock.tokens // 2 - 1}


def test_a_lattice_takes_few_windows() -> None:
    for fps, centres, clock, a_second in (
        (25.0, centre_samples(2500, 25.0), audio_clock(GEOMETRY), 3.2),
        (50.0, centre_samples(5000, 50.0), audio_clock(GEOMETRY), 6.4),
        (30.0, centre_samples(3000, 30.0), audio_clock(GEOMETRY), 18.8),
        (25.0, centre_pictures(2500, 25.0), video_clock(GEOMETRY), 6.4),
    ):
        assert len(plan_windows(centres, clock, "lattice").starts_W) / 100 < a_second
        assert len(plan_windows(centres, clock, "dense").starts_W) / 100 == fps


@pytest.mark.parametrize("fps", RATES)
def test_an_impulse_at_a_frame_is_in_the_middle_of_the_input_of_its_token(fps: float) -> None:
    centres = centre_samples(40, fps)
    plan = plan_windows(centres, audio_clock(GEOMETRY), "lattice")
    for frame in (0, 17, 39):
        wave = torch.zeros(int(centres[-1]) + 400)
        wave[centres[frame]] = 0.5
        start = plan.starts_W[plan.window_N[frame]][None]
        mel = audio_windows(wave, start, GEOMETRY)[0, 0, 16 * plan.token_N[frame] :][:16]
        energy = (mel - mel.min()).sum(1).double()
        centre = float((energy * torch.arange(16)).sum() / energy.sum())
        assert centre == pytest.approx(7.5, abs=0.02)  # of rows 0 to 15, which are 10 ms each
        assert energy[:6].sum() == energy[10:].sum() == 0  # windows of 25 ms around it alone


@pytest.mark.parametrize("context", CONTEXTS)
def test_an_impulse_is_loudest_in_the_vector_of_its_frame_and_alike_on_both_sides(
    model: Path, context: TokenContext
) -> None:
    frames = AudioFrames(model, fps=25.0, context=context)
    add_nothing_else(frames.encoder)
    wave = torch.zeros(40 * 640)
    silence = frames.of(wave).vectors_NLD[:, 0, 0]
    for frame in (3, 18, 36):
        wave.zero_()
        wave[640 * frame + 320] = 0.5
        heard = frames.of(wave).vectors_NLD[:, 0, 0] - silence
        assert set(torch.nonzero(heard.abs() > 1e-3 * heard.max())[:, 0].tolist()) == set(range(frame - 2, frame + 3))
        assert heard[frame - 2] == pytest.approx(float(heard[frame + 2]), rel=1e-3)
        assert heard[frame - 1] == pytest.approx(float(heard[frame + 1]), rel=1e-3)
        assert heard[frame] == pytest.approx(float(heard[frame + 1]), rel=1e-3)  # all rows of it are in the patch
        assert heard[frame - 2] < heard[frame]


@pytest.mark.parametrize("context", CONTEXTS)
def test_a_bright_picture_is_seen_two_pictures_before_and_after_it(model: Path, context: TokenContext) -> None:
    frames = VideoFrames(model, fps=25.0, context=context)
    add_nothing_else(frames.encoder)
    pictures = torch.full((60, 3, 64, 64), 0.25)
    dark = frames.of_pictures(pictures).vectors_NLD[:, 0, 0]
    for frame in (10, 31, 50):
        pictures.fill_(0.25)
        pictures[frame] = 1.0
        seen = (frames.of_pictures(pictures).vectors_NLD[:, 0, 0] - dark).abs()
        assert set(torch.nonzero(seen > 1e-3 * seen.max())[:, 0].tolist()) == {frame - 2, frame + 2}


def test_sound_moved_by_frames_moves_dense_vectors_by_as_many_to_the_bit(tmp_path: Path) -> None:
    frames = AudioFrames(save_pretrained_model(tmp_path / "model", 3), layers="all", context="dense")
    wave = torch.randn(100 * 640, generator=torch.Generator().manual_seed(0)) * 0.1
    early = frames.of(wave).vectors_NLD
    late = frames.of(torch.cat((torch.zeros(7 * 640), wave))[: len(wave)]).vectors_NLD
    assert torch.equal(early[30:58], late[37:65])
    assert not torch.equal(early[30:58], late[30:58])


def test_the_times_are_the_centres_of_frames(model: Path) -> None:
    timed = AudioFrames(model, fps=30.0).of(np.zeros(16_000 + 1, np.int16))
    assert len(timed.vectors_NLD) == len(timed.times_s_N) == 31  # the 31st begins with the last sample
    assert timed.times_s_N[:2].tolist() == pytest.approx([1 / 60, 3 / 60])


def test_a_reference_is_one_picture_that_stands_still(model: Path) -> None:
    frames = VideoFrames(model, layers="all")
    picture = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(1))
    assert frames.of_reference(picture).shape == (4, 96)
    add_nothing_else(frames.encoder)  # positions differ
    assert torch.equal(frames.of_reference(picture), frames.of_previous(picture[None]))


def test_previous_pictures_are_seen_up_to_the_newest_one(model: Path) -> None:
    frames = VideoFrames(model)
    add_nothing_else(frames.encoder)
    pictures = torch.full((30, 3, 64, 64), 0.25)
    before = frames.of_previous(pictures)
    pictures[-1] = 1.0
    assert not torch.allclose(frames.of_previous(pictures), before)
    pictures[-1], pictures[-2] = 0.25, 1.0
    assert torch.allclose(frames.of_previous(pictures), before)  # the tube has the last picture and the fifth to last
    pictures[-2], pictures[-5] = 0.25, 1.0
    assert not torch.allclose(frames.of_previous(pictures), before)


@pytest.mark.parametrize("fps", [0.0, -25.0, 1000.0, float("nan"), float("inf")])
def test_what_is_no_rate_is_refused(model: Path, fps: float) -> None:
    for kind in (AudioFrames, VideoFrames):
        with pytest.raises(UserError, match=r"fps .*: frames a second are above 0 and below 1000; 25 is usual"):
            kind(model, fps=fps)


def test_settings_that_do_not_exist_are_refused(model: Path) -> None:
    with pytest.raises(UserError, match=r"layer 5: the encoder has the layers 1 to 4, and 0 for what the first"):
        AudioFrames(model, layers="1,5")
    with pytest.raises(UserError, match="layer 'deep': name layers by number"):
        AudioFrames(model, layers="deep")
    with pytest.raises(UserError, match="name each layer once"):
        AudioFrames(model, layers=(4, -1))
    with pytest.raises(UserError, match="context 'wide': there are lattice and dense"):
        AudioFrames(model, context="wide")  # type: ignore[arg-type]  # refused
    with pytest.raises(UserError, match="bands 'max': there are mean and keep"):
        AudioFrames(model, bands="max")  # type: ignore[arg-type]  # refused
    with pytest.raises(UserError, match="holds no saved model"):
        AudioFrames(model.parent.parent)


def test_a_model_of_one_modality_has_no_vectors_of_the_other(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is a model of pictures alone, which hears nothing"):
        AudioFrames(save_additive_model(tmp_path / "v", "v"))
    with pytest.raises(UserError, match="is a model of sound alone, which sees nothing"):
        VideoFrames(save_additive_model(tmp_path / "a", "a"))


@pytest.mark.parametrize(
    ("samples", "rate", "sentence"),
    [
        (np.zeros(2799, np.int16), 16_000, r"sound of 2,799 samples \(0.175 s\): a token hears 2,800"),
        (np.zeros(0, np.float32), 16_000, "sound of 0 samples"),
        (np.zeros(16_000, np.float32), 44_100, "sound of 44100 Hz: the models hear 16000 Hz; resample it first"),
        (np.zeros((2, 16_000), np.float32), 16_000, r"sound of shape \(2, 16000\): one channel"),
        (np.zeros(16_000, np.int32), 16_000, "give floats in -1 to 1, or int16"),
        (np.full(16_000, np.nan, np.float32), 16_000, "values that are no numbers"),
        (np.full(16_000, 3.5, np.float32), 16_000, "sound that reaches 3.5, where full scale is 1"),
    ],
)
def test_sound_that_does_not_fit_is_refused(
    model: Path, samples: np.ndarray[tuple[int, ...], np.dtype[np.generic]], rate: int, sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        AudioFrames(model).of(samples, rate)


def test_layers_and_bands_give_the_shapes(model: Path) -> None:
    wave = torch.zeros(16_000)
    assert AudioFrames(model).of(wave).vectors_NLD.shape == (25, 1, 96)
    assert AudioFrames(model, layers="all").of(wave).vectors_NLD.shape == (25, 4, 96)
    each_band = AudioFrames(model, layers=(0, -1), bands="keep").of(wave).vectors_NLD
    assert each_band.shape == (25, 2, 8 * 96)
    mean = AudioFrames(model, layers=(0, 4)).of(wave).vectors_NLD
    torch.testing.assert_close(each_band.unflatten(2, (8, 96)).mean(2), mean)
