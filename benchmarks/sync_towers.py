"""Other networks and other training windows for the learned sync, trained with the shipped network's loss and optimizer.

A network that sees most of a window could learn where in the window a frame is, and so the shift, if that were always
the same. The true shift is therefore drawn for each window here; the shipped training has it in the middle.

Shapes: B windows of a batch, C channels, T steps of time, W = 50 frames, D = 11 distances, F = 40 mel levels.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from avf_curation.detectors import sync_training
from avf_curation.detectors.mouth import EVERY
from avf_curation.detectors.sync_head import (
    STEPS_PER_FRAME,
    Doubles,
    Floats,
    SyncHead,
    mel_levels,
    standardise_distances,
    standardise_levels,
)
from avf_curation.detectors.sync_training import BATCH, REACH, STEPS, WINDOW, Talk, TwoTowers
from avf_curation.media.types import Samples
from torch import Tensor, nn
from torch.nn import functional

Vary = Callable[[Floats, np.random.Generator], Floats]
DISTANCES, MELS, EMBEDDING = 11, 40, 20
DILATIONS, RESIDUAL_CHANNELS = (1, 2, 4, 8), 32
GRU_CHANNELS = 36
SOUND_FRAMES = WINDOW + 2 * REACH


class TorchHead(SyncHead):
    """A network that is not stored in a file, with the interface of the shipped one."""

    def __init__(self, network: TwoTowers) -> None:
        self._network = network.eval()

    def likeness_by_shift(
        self, distances_TD: Floats, samples: Samples, shifts: int, *, embeddings_TV: Floats | None = None
    ) -> Doubles:
        """Return the mean cosine at each shift of the sound from -shifts to +shifts frames, (S,); no embeddings are read."""
        mouth_TD = self.see_mouth(distances_TD)
        levels_TF = standardise_levels(mel_levels(samples, len(distances_TD)))
        with torch.no_grad():
            mouth_BET, sound_BET = self._network(
                torch.from_numpy(mouth_TD).T[None], torch.from_numpy(levels_TF).T[None]
            )
        cosine_TT = (mouth_BET[0].T @ sound_BET[0]).numpy().astype(float)
        return np.array([np.diagonal(cosine_TT, -shift).mean() for shift in range(-shifts, shifts + 1)])

    def see_mouth(self, distances_TD: Floats) -> Floats:
        """Return what the network of the mouth reads of a clip."""
        return standardise_distances(distances_TD)


class DilatedBlock(nn.Module):
    """Two convolutions beside a connection that leaves the features as they are."""

    def __init__(self, dilation: int) -> None:
        super().__init__()
        self.wide = nn.Conv1d(RESIDUAL_CHANNELS, RESIDUAL_CHANNELS, 3, padding=dilation, dilation=dilation)
        self.narrow = nn.Conv1d(RESIDUAL_CHANNELS, RESIDUAL_CHANNELS, 1)

    def forward(self, features_BCT: Tensor) -> Tensor:
        hidden_BCT = functional.dropout(functional.relu(self.wide(features_BCT)), 0.1, self.training)
        added: Tensor = functional.relu(features_BCT + self.narrow(hidden_BCT))
        return added


class RecurrentLayer(nn.Module):
    """A bidirectional GRU over time."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(GRU_CHANNELS, GRU_CHANNELS, batch_first=True, bidirectional=True)

    def forward(self, features_BCT: Tensor) -> Tensor:
        hidden_BTC: Tensor = self.gru(features_BCT.mT)[0]
        return functional.dropout(hidden_BTC.mT, 0.1, self.training)


def make_dilated() -> TwoTowers:
    """Return towers whose embedding of a frame sees 17 frames to either side."""
    blocks = [[DilatedBlock(dilation) for dilation in DILATIONS] for _ in range(2)]
    return _with_towers(RESIDUAL_CHANNELS, RESIDUAL_CHANNELS, *blocks)


def make_recurrent() -> TwoTowers:
    """Return towers whose embedding of a frame sees the clip from its first frame to its last."""
    return _with_towers(GRU_CHANNELS, 2 * GRU_CHANNELS, [RecurrentLayer()], [RecurrentLayer()])


def _with_towers(width: int, outputs: int, mouth: Sequence[nn.Module], sound: Sequence[nn.Module]) -> TwoTowers:
    network = TwoTowers()  # for its scale and its normalised embeddings; its towers are replaced
    network.towers["mouth"] = nn.Sequential(
        nn.Conv1d(DISTANCES, width, 5, padding=2), nn.ReLU(), *mouth, nn.Conv1d(outputs, EMBEDDING, 1)
    )
    network.towers["sound"] = nn.Sequential(
        *(nn.Conv1d(MELS, width, 5, stride=2, padding=2), nn.ReLU()),
        *(nn.Conv1d(width, width, 5, stride=2, padding=2), nn.ReLU()),
        *(*sound, nn.Conv1d(outputs, EMBEDDING, 1)),
    )
    return network


def count_parameters(network: TwoTowers) -> int:
    """Return the number of trained values."""
    return sum(parameter.numel() for parameter in network.parameters())


def train(make: Callable[[], TwoTowers], augmented: bool, talks: Sequence[Talk], seed: int) -> TwoTowers:
    """Return a trained network; `augmented`: windows vary more than the shipped training's."""
    draw = np.random.default_rng(seed)
    prepared = [
        (standardise_distances(talk.distances_TD), mel_levels(talk.samples, len(talk.distances_TD)))
        for talk in talks
        if len(talk.distances_TD) > WINDOW
    ]
    lengths = np.array([len(mouth_TD) - WINDOW for mouth_TD, _ in prepared], float)
    draw_window = draw_more_varied if augmented else draw_varied
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = make()
        optimizer = torch.optim.AdamW(network.parameters(), lr=sync_training._RATE, weight_decay=sync_training._DECAY)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, sync_training._RATE, total_steps=STEPS, pct_start=sync_training._WARM_UP
        )
        for _ in range(STEPS):
            chosen = draw.choice(len(prepared), BATCH, p=lengths / lengths.sum())
            loss = shift_loss(
                network, [draw_window(prepared[number][0], prepared[number][1], draw) for number in chosen]
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return network


Window = tuple[Floats, Floats, Floats, int]
"""Mouth (W, D), sound (4 (W + 2 REACH), F), which of its frames the clip has, and the shift at which they belong together."""


def shift_loss(network: TwoTowers, windows: Sequence[Window]) -> Tensor:
    """Return the cross-entropy of the true shift over frames that the clips have."""
    *arrays, shifts = zip(*windows, strict=True)
    mouth_BWD, sound_BNF, heard_BN = (torch.from_numpy(np.stack(values)) for values in arrays)
    mouth_BEW, sound_BEN = network(mouth_BWD.mT, sound_BNF.mT)
    sound_BESW, heard_BSW = sound_BEN.unfold(2, WINDOW, 1), heard_BN.unfold(1, WINDOW, 1)
    cosine_BSW = torch.einsum("bew,besw->bsw", mouth_BEW, sound_BESW) * heard_BSW
    likeness_BS = cosine_BSW.sum(2) / heard_BSW.sum(2).clamp(min=1)
    return functional.cross_entropy(likeness_BS * network.scale.exp(), torch.tensor(shifts))


def draw_varied(mouth_TD: Floats, levels_TF: Floats, draw: np.random.Generator) -> Window:
    """Return a window that varies as in the shipped training, at a drawn shift."""
    return cut_varied(mouth_TD, levels_TF, draw, sync_training._vary_mouth, sync_training._vary_sound)


def draw_more_varied(mouth_TD: Floats, levels_TF: Floats, draw: np.random.Generator) -> Window:
    """Return a window that also varies in tempo, tilt, range, level of noise and rate of the mouth, at a drawn shift."""
    tempo = draw.uniform(0.85, 1.18)
    mouth_TD = stretch(mouth_TD, max(WINDOW, round(len(mouth_TD) / tempo)))
    levels_TF = stretch(levels_TF, STEPS_PER_FRAME * len(mouth_TD))
    return cut_varied(mouth_TD, levels_TF, draw, _vary_mouth_more, _vary_sound_more)


def stretch(values_TC: Floats, steps: int) -> Floats:
    """Return the values at `steps` steps over the same time, interpolated linearly."""
    at_T = np.linspace(0, len(values_TC) - 1, steps)
    low_T = np.minimum(at_T.astype(int), len(values_TC) - 2)
    share_T1 = (at_T - low_T).astype(np.float32)[:, None]
    stretched: Floats = values_TC[low_T] * (1 - share_T1) + values_TC[low_T + 1] * share_T1
    return stretched


def cut_varied(
    mouth_TD: Floats, levels_TF: Floats, draw: np.random.Generator, vary_mouth: Vary, vary_sound: Vary
) -> Window:
    """Return a window at a drawn frame and shift, varied by the two functions; mean levels stand for what the clip has not."""
    first, shift = int(draw.integers(0, len(mouth_TD) - WINDOW + 1)), int(draw.integers(0, 2 * REACH + 1))
    frames_N = np.arange(first - shift, first - shift + SOUND_FRAMES)
    heard_N = ((frames_N >= 0) & (frames_N < len(mouth_TD))).astype(np.float32)
    steps_N = (STEPS_PER_FRAME * frames_N[:, None] + np.arange(STEPS_PER_FRAME)).ravel()
    inside_N = np.repeat(heard_N, STEPS_PER_FRAME) > 0
    sound_NF = np.tile(levels_TF[steps_N[inside_N]].mean(axis=0), (len(steps_N), 1))
    sound_NF[inside_N] = levels_TF[steps_N[inside_N]]
    return vary_mouth(mouth_TD[first : first + WINDOW], draw), vary_sound(sound_NF, draw), heard_N, shift


def _vary_mouth_more(mouth_WD: Floats, draw: np.random.Generator) -> Floats:
    """Return distances at other sizes with noise of a drawn strength, half of them with every second frame interpolated."""
    if draw.random() < 0.5:
        seen_W = np.arange(int(draw.integers(EVERY)), len(mouth_WD), EVERY)
        frames_W = np.arange(len(mouth_WD))
        mouth_WD = np.stack([np.interp(frames_W, seen_W, distance_W[seen_W]) for distance_W in mouth_WD.T], axis=1)
    sizes_D = draw.normal(1, 0.1) * (1 + draw.normal(0, 0.25, mouth_WD.shape[1]))
    noise_WD = draw.uniform(0, 0.4) * draw.normal(0, 1, mouth_WD.shape)
    varied: Floats = (mouth_WD * sizes_D + noise_WD).astype(np.float32)
    return varied


def _vary_sound_more(levels_NF: Floats, draw: np.random.Generator) -> Floats:
    """Return the shipped training's variation of levels of another tilt and range, in noise 0 to 20 dB below the speech."""
    bands = levels_NF.shape[1]
    mean = levels_NF.mean()
    varied_NF: Doubles = mean + draw.uniform(0.8, 1.2) * (levels_NF - mean).astype(float)  # as a compressor does
    varied_NF += draw.uniform(-2, 2) * np.linspace(-1, 1, bands)  # nats from the lowest band to the highest
    if draw.random() < 0.7:
        speech = np.log(np.exp(varied_NF).mean())
        floor_F = np.log(10) * -draw.uniform(0, 20) / 10 + draw.normal(0, 1) * np.linspace(-1, 1, bands)
        varied_NF = np.logaddexp(varied_NF, speech + floor_F + draw.normal(0, 0.5, varied_NF.shape))
    loudness_N = draw.normal(0, 0.3) * np.sin(np.linspace(0, np.pi, len(levels_NF)) + draw.uniform(0, np.pi))
    return sync_training._vary_sound((varied_NF + loudness_N[:, None]).astype(np.float32), draw)
