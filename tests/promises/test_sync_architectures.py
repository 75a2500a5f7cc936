"""Promise: `python -m benchmarks sync_architectures` trains other networks on windows whose true shift is known."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from avf_curation.detectors.sync_calibration import BLANK
from avf_curation.detectors.sync_head import STEPS_PER_FRAME, SyncHead
from avf_curation.detectors.sync_head_file import SyncHeadFile
from avf_curation.detectors.sync_training import REACH, WINDOW, TwoTowers
from support.talks import make_talk

from benchmarks import sync_towers

FRAMES = 75


@pytest.mark.parametrize("seed", range(8))
def test_mouth_and_sound_of_a_window_meet_at_its_shift(seed: int) -> None:
    mouth_TD = np.repeat(np.arange(1, FRAMES + 1, dtype=np.float32)[:, None], 11, axis=1)
    levels_TF = np.repeat(np.repeat(mouth_TD[:, :1], STEPS_PER_FRAME, axis=0), 40, axis=1)
    mouth_WD, sound_NF, heard_N, shift = sync_towers.cut_varied(
        mouth_TD, levels_TF, np.random.default_rng(seed), lambda values, draw: values, lambda values, draw: values
    )
    assert mouth_WD.shape == (WINDOW, 11)
    assert sound_NF.shape == (STEPS_PER_FRAME * (WINDOW + 2 * REACH), 40)
    met_W4 = sound_NF[STEPS_PER_FRAME * shift : STEPS_PER_FRAME * (shift + WINDOW), 0].reshape(WINDOW, STEPS_PER_FRAME)
    np.testing.assert_array_equal(met_W4, np.repeat(mouth_WD[:, :1], STEPS_PER_FRAME, axis=1))
    assert heard_N[shift : shift + WINDOW].all()
    first = int(mouth_WD[0, 0]) - 1
    assert heard_N.sum() == min(FRAMES, first - shift + len(heard_N)) - max(0, first - shift)


def test_shifts_are_drawn_over_the_search() -> None:
    mouth_TD, levels_TF = np.zeros((FRAMES, 11), np.float32), np.zeros((4 * FRAMES, 40), np.float32)
    draw = np.random.default_rng(0)
    for draw_window in (sync_towers.draw_varied, sync_towers.draw_more_varied):
        shifts = {draw_window(mouth_TD, levels_TF, draw)[3] for _ in range(400)}
        assert shifts == set(range(2 * REACH + 1))


def test_a_changed_tempo_keeps_mouth_and_sound_together() -> None:
    values_TC = np.linspace(0, 1, 100, dtype=np.float32)[:, None]
    stretched_TC = sync_towers.stretch(values_TC, 80)
    np.testing.assert_allclose(stretched_TC[:, 0], np.linspace(0, 1, 80), atol=1e-6)


@pytest.mark.parametrize("make", [sync_towers.make_dilated, sync_towers.make_recurrent])
def test_other_towers_embed_each_frame(make: Callable[[], TwoTowers]) -> None:
    network = make().eval()
    assert 40_000 <= sync_towers.count_parameters(network) <= 60_000
    with torch.no_grad():
        mouth_BEW, sound_BEN = network(torch.randn(2, 11, WINDOW), torch.randn(2, 40, STEPS_PER_FRAME * FRAMES))
    assert mouth_BEW.shape == (2, 20, WINDOW)
    assert sound_BEN.shape == (2, 20, FRAMES)
    torch.testing.assert_close(sound_BEN.norm(dim=1), torch.ones(2, FRAMES))


def test_networks_that_no_file_stores_are_measured_as_the_stored_one_is() -> None:
    network, talk = TwoTowers(), make_talk(3)
    stored = SyncHead(SyncHeadFile(weights=network.weights(), card=BLANK))
    curves_S = [
        head.likeness_by_shift(talk.distances_TD, talk.samples, REACH)
        for head in (stored, sync_towers.TorchHead(network))
    ]
    np.testing.assert_allclose(*curves_S, atol=1e-6)
