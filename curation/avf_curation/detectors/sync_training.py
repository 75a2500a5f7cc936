"""Train the learned sync network (sync_head.py) on clips whose mouth and sound belong together; no labels.

A step takes windows of 50 frames, each with the sound from 15 frames before it to 15 behind it, and asks at which of
the 31 shifts they belong together. The sound is varied in noise, colour and pitch, the mouth in size and noise, so that
a minute of clips teaches more than its speakers.

Shapes: B windows of a batch, W = 50 frames, S = 31 shifts, T frames of a clip, D = 11 distances (and 20 components of
embeddings), V = 128 values of an embedding, F = 40 mel levels.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from avf_curation.detectors.face_components import fit_components
from avf_curation.detectors.sync_head import (
    LEVEL_SCALE,
    STEPS_PER_FRAME,
    STRIDES,
    mel_levels,
    read_mouth,
)
from avf_curation.detectors.sync_head_file import kernels
from avf_curation.media.types import Samples

WINDOW, REACH = 50, 15  # frames of a window; shifts to either side
STEPS, BATCH = 400, 12
_RATE, _DECAY, _WARM_UP = 3e-3, 1e-2, 0.1  # of AdamW; share of the steps in which the rate rises
_DROPOUT, _FIRST_SCALE = 0.1, 3.0  # of hidden layers; logarithm of the factor on cosines before the softmax

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Talk:
    """Mouth and sound of a clip that belong together."""

    distances_TD: Floats  # of the mouth (face_mesh.lip_distances)
    samples: Samples  # sound of the same frames
    embeddings_TV: Floats | None = None  # LR-ASD's of the face in the same frames, where a network is to read them


class TwoTowers(nn.Module):
    """The two networks of convolutions, with the names of their files."""

    def __init__(self, *, reads_embeddings: bool = False) -> None:
        super().__init__()
        layers = kernels(reads_embeddings=reads_embeddings)
        self.towers = nn.ModuleDict({name: _make_tower(name, layers) for name in ("mouth", "sound")})
        self.scale = nn.Parameter(torch.tensor(_FIRST_SCALE))

    def forward(self, mouth_BDW: Tensor, sound_BFN: Tensor) -> tuple[Tensor, Tensor]:
        """Return the embeddings of each frame, of length 1: (B, E, W) and (B, E, W + 2 * REACH)."""
        mouth, sound = self.towers["mouth"](mouth_BDW), self.towers["sound"](sound_BFN)
        return functional.normalize(mouth, dim=1), functional.normalize(sound, dim=1)

    def weights(self) -> dict[str, Floats]:
        """Return the tensors of a file."""
        weights = {}
        for tower, network in self.towers.items():
            convolutions = [layer for layer in network.children() if isinstance(layer, nn.Conv1d)]
            for number, layer in enumerate(convolutions):
                assert layer.bias is not None
                weights[f"{tower}.{number}.weight"] = layer.weight.detach().numpy().copy()
                weights[f"{tower}.{number}.bias"] = layer.bias.detach().numpy().copy()
        return weights


def _make_tower(tower: str, kernels: Mapping[str, tuple[int, int, int]]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for name, (outputs, inputs, steps) in kernels.items():
        if name.startswith(f"{tower}."):
            if layers:
                layers += [nn.ReLU(), nn.Dropout(_DROPOUT)]
            layers.append(nn.Conv1d(inputs, outputs, steps, stride=STRIDES.get(name, 1), padding=steps // 2))
    return nn.Sequential(*layers)


def train_towers(
    talks: Sequence[Talk],
    seed: int,
    steps: int | None = None,
    on_step: Callable[[int], None] = lambda step: None,
) -> dict[str, Floats]:
    """Return the weights of a network that is trained on `talks`; the same talks and seed give the same bytes.

    The network reads embeddings where the talks have them. `steps` is STEPS where it is None. Talks of less than a
    window are left out. Raises ValueError where none is longer.
    """
    steps = STEPS if steps is None else steps
    draw = np.random.default_rng(seed)
    talks = [talk for talk in talks if len(talk.distances_TD) > WINDOW]
    if not talks:
        raise ValueError("no talk is as long as a window")
    embeddings = [talk.embeddings_TV for talk in talks if talk.embeddings_TV is not None]
    components = fit_components(embeddings) if embeddings else None
    prepared = [
        (
            read_mouth(talk.distances_TD, talk.embeddings_TV, components),
            mel_levels(talk.samples, len(talk.distances_TD)),
        )
        for talk in talks
    ]
    lengths = np.array([len(mouth) - WINDOW for mouth, _ in prepared], float)
    shares = lengths / lengths.sum()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = TwoTowers(reads_embeddings=components is not None)
        optimizer = torch.optim.AdamW(network.parameters(), lr=_RATE, weight_decay=_DECAY)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=steps, pct_start=_WARM_UP)
        for step in range(steps):
            chosen = draw.choice(len(prepared), BATCH, p=shares)
            batch = [_draw_window(prepared[number][0], prepared[number][1], draw) for number in chosen]
            mouth_BWD, sound_BNF, heard_BN = (torch.from_numpy(np.stack(values)) for values in zip(*batch, strict=True))
            loss = _shift_loss(network, mouth_BWD.mT, sound_BNF.mT, heard_BN)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            on_step(step + 1)
    return network.weights() | (components.weights() if components else {})


def _shift_loss(network: TwoTowers, mouth_BDW: Tensor, sound_BFN: Tensor, heard_BN: Tensor) -> Tensor:
    """Return the cross-entropy of the true shift; `heard_BN` is 0 for frames before the first and after the last."""
    mouth_BEW, sound_BEN = network(mouth_BDW, sound_BFN)
    shifted_BESW, heard_BSW = sound_BEN.unfold(2, WINDOW, 1), heard_BN.unfold(1, WINDOW, 1)
    cosine_BSW = torch.einsum("bew,besw->bsw", mouth_BEW, shifted_BESW) * heard_BSW
    likeness_BS = cosine_BSW.sum(2) / heard_BSW.sum(2).clamp(min=1)
    return functional.cross_entropy(
        likeness_BS * network.scale.exp(), torch.full((len(likeness_BS),), REACH, dtype=torch.long)
    )


def _draw_window(mouth_TD: Floats, levels_TF: Floats, draw: np.random.Generator) -> tuple[Floats, Floats, Floats]:
    """Return a varied window: mouth (W, D), sound (4 (W + 2 REACH), F), and which of its frames the clip has."""
    first = int(draw.integers(0, len(mouth_TD) - WINDOW + 1))
    low, high = (first - REACH) * STEPS_PER_FRAME, (first + WINDOW + REACH) * STEPS_PER_FRAME
    before, behind = max(0, -low), max(0, high - len(levels_TF))
    inside_NF = levels_TF[max(0, low) : min(high, len(levels_TF))]
    middle_F = inside_NF.mean(axis=0)
    parts = [np.tile(middle_F, (before, 1)), inside_NF, np.tile(middle_F, (behind, 1))]
    heard = np.ones(WINDOW + 2 * REACH, np.float32)
    heard[: before // STEPS_PER_FRAME] = 0
    heard[len(heard) - behind // STEPS_PER_FRAME :] = 0
    sound = _vary_sound(np.concatenate(parts), draw)
    return _vary_mouth(mouth_TD[first : first + WINDOW], draw), sound, heard


def _vary_mouth(mouth_WD: Floats, draw: np.random.Generator) -> Floats:
    """Return the distances at other sizes, with noise."""
    sizes_D = 1 + draw.normal(0, 0.15, mouth_WD.shape[1])
    varied: Floats = (mouth_WD * sizes_D + draw.normal(0, 0.15, mouth_WD.shape)).astype(np.float32)
    return varied


def _vary_sound(levels_NF: Floats, draw: np.random.Generator) -> Floats:
    """Return standardised levels of the sound in noise, of another colour, of another pitch, without some bands."""
    bands = levels_NF.shape[1]
    if draw.random() < 0.5:
        noise_F = 0.3 * np.cumsum(draw.normal(0, 1, bands))
        floor = levels_NF.mean() + draw.uniform(-6, 0) + noise_F - noise_F.mean()
        levels_NF = np.logaddexp(levels_NF, floor + draw.normal(0, 0.5, levels_NF.shape)).astype(np.float32)
    # A shift along the mel bands is a longer or shorter throat.
    levels_NF = np.roll(levels_NF, int(draw.integers(-2, 3)), axis=1)
    if draw.random() < 0.5:
        lowest = int(draw.integers(0, bands - 4))
        levels_NF = levels_NF.copy()
        levels_NF[:, lowest : lowest + int(draw.integers(1, 6))] = levels_NF.mean()
    standardised: Floats = ((levels_NF - levels_NF.mean(axis=0)) / LEVEL_SCALE).astype(np.float32)
    return standardised
