"""LR-ASD in 2-D convolutions is the authors' network of 3-D ones, for spans of any length."""

from pathlib import Path

import numpy as np
import pytest
import torch
from avf_curation.detectors import lr_asd
from avf_curation.detectors.lr_asd import LrAsd, state_shapes
from avf_curation.detectors.syncnet import formula_tensor
from avf_curation.detectors.weight_files import load_weights
from avf_curation.detectors.weights import find_weight, pull_weights
from avf_shards.errors import UserError
from torch import Tensor
from torch.nn import functional as F

WEIGHTS = "assets/weights/lr_asd_finetuning_TalkSet.model"


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    return {key: formula_tensor(key, torch.empty(shape)) for key, shape in state_shapes().items()}


@pytest.fixture(scope="module")
def faces() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (41, 112, 112), dtype=np.uint8)


@pytest.fixture(scope="module")
def oracle(shared: Path) -> dict[str, np.ndarray]:
    return dict(np.load(shared / "oracles/active_speaker/asd_oracle.npz", allow_pickle=False))


def embed_in_three_dimensions(state: dict[str, Tensor], faces_THW: np.ndarray) -> np.ndarray:
    """Return the embeddings by convolutions and norms as the authors' network has them."""
    x = ((torch.from_numpy(faces_THW) / 255 - 0.4161) / 0.1688)[None, None]
    for number in (1, 2, 3):
        for kind, step in (("s", 1), ("s", 2), ("t", 1), ("t", 2)):
            prefix = f"model.visualEncoder.block{number}.{kind}"
            weight = state[f"{prefix}_{step}.weight"]
            padding = [side // 2 for side in weight.shape[2:]]
            stride = (1, 2, 2) if (number, kind, step) == (1, "s", 1) else 1
            x = F.conv3d(x, weight, None, stride, padding)
            norm = [state[f"{prefix}_norm_{step}.{name}"] for name in ("running_mean", "running_var", "weight", "bias")]
            x = F.batch_norm(x, *norm, eps=1e-3).relu()
        if number < 3:
            x = F.max_pool3d(x, (1, 3, 3), (1, 2, 2), (0, 1, 1))
    return x.amax(dim=(3, 4))[0].T.numpy()


@pytest.mark.parametrize("frames", [1, 2, 16, 17, 41])
def test_blocks_of_frames_give_what_the_whole_span_gives(
    state: dict[str, Tensor], faces: np.ndarray, frames: int
) -> None:
    expected = embed_in_three_dimensions(state, faces[:frames])
    embeddings = LrAsd(state).embed_faces(faces[:frames])
    assert embeddings.shape == (frames, 128)
    np.testing.assert_allclose(embeddings, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_a_face_that_stays_looks_alike_from_the_first_frame_of_a_span_to_the_last(
    state: dict[str, Tensor], faces: np.ndarray
) -> None:
    for frames in (1, 2, 41):
        still_THW = np.repeat(faces[:1], frames, axis=0)
        network, sound = LrAsd(state), np.zeros(640 * frames, np.int16)
        embeddings_TD = network.score(still_THW, sound).embeddings_TD
        assert embeddings_TD.shape == (frames, 128)
        np.testing.assert_allclose(embeddings_TD, embeddings_TD[:1].repeat(frames, 0), rtol=1e-5)
    zeros_TD = network.embed_faces(still_THW)
    assert np.abs(zeros_TD[0] - zeros_TD[20]).max() > 0.01, "outside the span there is no picture for the authors' code"


def test_one_thread_gives_the_same_bits_each_time(state: dict[str, Tensor], faces: np.ndarray) -> None:
    sound = np.random.default_rng(4).integers(-9000, 9000, 41 * 640).astype(np.int16)
    first, second = (LrAsd(state).score(faces, sound) for _ in range(2))
    assert first.scores_T.tobytes() == second.scores_T.tobytes()
    assert first.scores_T.shape == (41,)
    assert np.ptp(first.scores_T) > 0
    other = LrAsd(state).score(faces, np.roll(sound, 9000))
    assert not np.array_equal(first.scores_T, other.scores_T), "the sound counts too"
    np.testing.assert_array_equal(first.embeddings_TD, other.embeddings_TD)
    with pytest.raises(ValueError, match="samples do not belong to 41 frames"):
        LrAsd(state).score(faces, sound[:-640])


def test_the_weights_of_another_model_are_named(state: dict[str, Tensor]) -> None:
    with pytest.raises(UserError, match=r"x\.model: holds the weights of another model .*lossV\.FC\.bias"):
        LrAsd(state | {"lossV.FC.bias": torch.zeros(3)}, name="x.model")
    with pytest.raises(UserError, match=r"another model .*differs is extra\)"):
        LrAsd(state | {"extra": torch.zeros(3)})


@pytest.mark.real
def test_the_file_of_the_authors_can_be_installed(shared: Path, tmp_path: Path) -> None:
    pull_weights("lr_asd", tmp_path, shared / WEIGHTS)
    match = find_weight("lr_asd", tmp_path)
    assert match is not None
    assert {key: tuple(value.shape) for key, value in load_weights(match[1]).items()} == state_shapes()


@pytest.mark.real
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("clip", ["formula", "real"])
def test_it_matches_the_authors_numbers(
    shared: Path, oracle: dict[str, np.ndarray], clip: str, dtype: torch.dtype
) -> None:
    network = LrAsd(load_weights(shared / WEIGHTS), dtype=dtype)
    faces_TD = network.embed_faces(oracle[f"{clip}.video"])
    sound_TD = network.embed_sound(oracle[f"{clip}.mfcc"])
    logits_T2 = network.join_embeddings(faces_TD, sound_TD).numpy()
    for ours, theirs in ((faces_TD, "visual"), (sound_TD, "audio"), (logits_T2, "logits_av")):
        np.testing.assert_allclose(ours, oracle[f"lr.{clip}.{theirs}"], rtol=0, atol=1e-5)


@pytest.mark.real
def test_each_frame_of_a_sound_has_four_steps(shared: Path, oracle: dict[str, np.ndarray]) -> None:
    mfcc_SF = lr_asd.frame_mfcc(oracle["real.samples"])
    assert mfcc_SF.shape == (200, 13)
    np.testing.assert_allclose(mfcc_SF[:196], oracle["real.mfcc"], atol=1e-5)
    network = LrAsd(load_weights(shared / WEIGHTS))
    faces_TD = network.embed_faces(oracle["real.video"])  # and not of a span, whose ends are mirrored
    scores_T = network.score_embeddings(faces_TD, oracle["real.samples"][: 49 * 640])
    # The last step differs: zeros follow the sound here, and in the oracle the sound goes on.
    np.testing.assert_allclose(scores_T[:40], oracle["lr.real.logits_av"][:40, 1], atol=0.05)
