"""Promise: `python -m benchmarks sync_material` adds to the shipped training what its rows say, and nothing else."""

import numpy as np
import pytest
from avf_curation.detectors.sync_head import STEPS_PER_FRAME
from avf_curation.detectors.sync_training import REACH, WINDOW, Talk, train_towers
from support.talks import make_talk

from benchmarks import drawn_talkers, sync_material, sync_view
from benchmarks.sync_material import Training
from benchmarks.sync_variations import VARIATIONS, DrawWindow, draw_any

FRAMES = 90


def test_a_training_without_additions_is_the_shipped_one() -> None:
    talks = [make_talk(1), make_talk(2)]
    head = sync_material.train(talks, Training(steps=3), 7)
    curves = [head.likeness_by_shift(talks[0].distances_TD, talks[0].samples, REACH)]
    shipped = sync_material.SyncHead(
        sync_material.SyncHeadFile(weights=train_towers(talks, 7, steps=3), card=sync_material.BLANK)
    )
    curves.append(shipped.likeness_by_shift(talks[0].distances_TD, talks[0].samples, REACH))
    np.testing.assert_array_equal(*curves)


@pytest.mark.parametrize(
    "training",
    [
        Training(drawn=(make_talk(3),), drawn_share=0.5, steps=3),
        Training(drawn=(make_talk(3),), first_steps=1, steps=2),
        Training(draw_window=draw_any, steps=3),
        Training(other_voices=0.5, steps=3),
    ],
    ids=["drawn", "drawn first", "varied", "other voices"],
)
def test_each_addition_changes_the_network(training: Training) -> None:
    talk = make_talk(1)
    plain, other = (sync_material.train([talk], each, 7) for each in (Training(steps=3), training))
    assert not np.array_equal(
        plain.likeness_by_shift(talk.distances_TD, talk.samples, REACH),
        other.likeness_by_shift(talk.distances_TD, talk.samples, REACH),
    )


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_the_share_of_drawn_talkers_is_of_the_windows(share: float) -> None:
    real, drawn = ([(np.full((FRAMES, 11), value, np.float32), np.zeros((1, 40), np.float32))] for value in (0, 1))
    batch = sync_material._choose(real, drawn, share, np.random.default_rng(0))
    assert [float(mouth_TD[0, 0]) for mouth_TD, _ in batch] == [share] * sync_material.BATCH


@pytest.mark.parametrize("draw_window", [*VARIATIONS.values(), draw_any], ids=[*VARIATIONS, "any"])
def test_a_variation_keeps_the_shape_of_a_window(draw_window: DrawWindow) -> None:
    draw = np.random.default_rng(0)
    mouth_TD = draw.normal(0, 1, (FRAMES, 11)).astype(np.float32)
    levels_NF = draw.normal(-5, 2, (STEPS_PER_FRAME * FRAMES, 40)).astype(np.float32)
    for _ in range(20):
        mouth_WD, sound_NF, heard = draw_window(mouth_TD, levels_NF, draw)
        assert (mouth_WD.shape, mouth_WD.dtype) == ((WINDOW, 11), np.float32)
        assert (sound_NF.shape, sound_NF.dtype) == ((STEPS_PER_FRAME * (WINDOW + 2 * REACH), 40), np.float32)
        assert np.isfinite(mouth_WD).all()
        assert np.isfinite(sound_NF).all()
        assert heard.shape == (WINDOW + 2 * REACH,)


def test_the_mouth_of_a_drawn_talker_opens_with_the_voice() -> None:
    (talk,) = drawn_talkers.read_drawn_talkers(9.0)
    assert talk.distances_TD.shape == (drawn_talkers.FRAMES, 11)
    loudness_T = np.abs(talk.samples.astype(float)).reshape(drawn_talkers.FRAMES, -1).mean(axis=1)
    assert np.corrcoef(talk.distances_TD[:, 0], loudness_T)[0, 1] > 0.5


def test_a_network_that_reads_embeddings_learns_their_main_components() -> None:
    draw, talk = np.random.default_rng(1), make_talk(1)
    frames = len(talk.distances_TD)
    hidden_TV = draw.normal(0, 1, (frames, 20)) @ draw.normal(0, 1, (20, 128))
    values_TD = np.concatenate([talk.distances_TD, hidden_TV.astype(np.float32)], axis=1)
    head = sync_view.train([Talk(distances_TD=values_TD, samples=talk.samples)], True, 0)
    seen_TD = head.see_mouth(values_TD)
    assert seen_TD.shape == (frames, 31)
    np.testing.assert_allclose(seen_TD[:, -20:].std(axis=0), 1, rtol=1e-3)
    curve_S = head.likeness_by_shift(values_TD, talk.samples, REACH)
    assert int(np.argmax(curve_S)) == REACH
