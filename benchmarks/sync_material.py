"""Train the learned sync network on more material: drawn talkers, and windows that vary more.

Each row is measured as `sync_architectures` measures its own, on the same pieces of people who are in no training.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from avf_curation.detectors import sync_training
from avf_curation.detectors.sync_calibration import BLANK, LearningClip, split_into_folds
from avf_curation.detectors.sync_head import Floats, SyncHead, mel_levels, standardise_distances
from avf_curation.detectors.sync_head_file import SyncHeadFile
from avf_curation.detectors.sync_training import BATCH, STEPS, WINDOW, Talk, TwoTowers
from avf_shards.timeline import FRAMES_PER_SECOND
from torch.nn import functional

from benchmarks.drawn_talkers import read_drawn_talkers
from benchmarks.learned_sync import SEED, WEIGHTS, split_grid
from benchmarks.sync_architectures import COLUMNS, SEEDS, Piece, cut_pieces, measure_heads
from benchmarks.sync_variations import VARIATIONS, DrawWindow, draw_any, draw_shipped
from benchmarks.table import Section
from benchmarks.talker_cache import read_talkers_once

DRAWN_TIMES = (2, 4, 10)  # as many seconds of drawn talkers as of real ones
FIRST_STEPS = 300  # on drawn talkers alone
Prepared = list[tuple[Floats, Floats]]
"""Standardised distances and mel levels of each talk."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """A way to train the shipped network."""

    drawn: Sequence[Talk] = field(default=(), repr=False)
    drawn_share: float = 0.0  # of the windows, once both are trained on
    first_steps: int = 0  # on drawn talkers alone
    draw_window: DrawWindow = draw_shipped
    steps: int = STEPS
    other_voices: float = 0.0  # share of a loss that also asks which of the voices of a batch it is


def run() -> list[Section]:
    if not WEIGHTS.is_file():
        return []
    clips = read_talkers_once()
    grid, others = split_grid(clips)
    seconds = sum(len(clip.talk.distances_TD) for clip in grid) / FRAMES_PER_SECOND
    trainings = name_trainings(read_drawn_talkers(max(DRAWN_TIMES) * seconds), seconds)
    rows = [["training", *COLUMNS]]
    pieces = list(cut_pieces(others))
    for name, training in trainings.items():
        figures = []
        for seed in SEEDS:
            head = train([clip.talk for clip in grid], training, seed)
            figures.append(measure_heads(dict.fromkeys(range(len(others)), head), others, pieces))
        rows.append([name, *format_figures(np.mean(figures, axis=0))])
        print(" | ".join(rows[-1]), flush=True)
    held_out = [["training", *COLUMNS]]
    pieces = list(cut_pieces(clips))
    for name, training in trainings.items():
        held_out.append([name, *format_figures(_measure_held_out(clips, pieces, training))])
        print(" | ".join(held_out[-1]), flush=True)
    note = (
        f"Trained on the {seconds:.0f} s of GRID, and on what a row adds; measured on {len(others)} clips of other people; means of "
        f"{len(SEEDS)} seeds; columns as in the table above. Drawn talkers: by the generator of the demo, 10 s each, seen by "
        "FaceMesh; their windows are as many as their seconds. Varied windows: as `sync_variations.py` has them."
    )
    return [
        Section("Learned sync: more material, trained on GRID", note, rows),
        Section(
            "Learned sync: more material, people held out",
            f"The same in five folds over all {len(clips)} clips, seed 0.",
            held_out,
        ),
    ]


def name_trainings(drawn: Sequence[Talk], seconds: float) -> dict[str, Training]:
    """Return what is tried, by its name; `drawn` has 10 s talks for ten times `seconds` of real ones."""
    trainings = {"shipped": Training()}
    for times in DRAWN_TIMES:
        count = max(1, round(times * seconds / 10))
        training = Training(drawn=drawn[:count], drawn_share=times / (1 + times))
        trainings[f"drawn talkers, {times} times the seconds"] = training
    first = Training(drawn=drawn, first_steps=FIRST_STEPS)
    trainings[f"{FIRST_STEPS} steps of drawn talkers first"] = first
    trainings |= {f"windows varied in {name}": Training(draw_window=draw) for name, draw in VARIATIONS.items()}
    trainings["windows varied in each of these"] = Training(draw_window=draw_any)
    trainings["the same, three times the steps"] = Training(draw_window=draw_any, steps=3 * STEPS)
    trainings["twice the steps"] = Training(steps=2 * STEPS)
    trainings["other voices in the loss"] = Training(other_voices=0.5)
    return trainings


def _measure_held_out(clips: list[LearningClip], pieces: Sequence[Piece], training: Training) -> Sequence[float]:
    heads: dict[int, SyncHead] = {}
    for held_out in split_into_folds(clips):
        talks = [clip.talk for number, clip in enumerate(clips) if number not in held_out]
        heads |= dict.fromkeys(held_out, train(talks, training, SEED))
    return measure_heads(heads, clips, pieces)


def format_figures(figures: Sequence[float]) -> list[str]:
    """Return the cells of a row of `measure_heads`."""
    return [
        *(f"{figure:.3f}" if index % 4 == 3 else f"{figure:.2f}" for index, figure in enumerate(figures[:-1])),
        f"{figures[-1]:.0%}",
    ]


def train(talks: Sequence[Talk], training: Training, seed: int) -> SyncHead:
    """Return a network that is trained on real talks in the given way; without additions it is the shipped one."""
    network = fit(TwoTowers, prepare(talks), training, seed)
    return SyncHead(SyncHeadFile(weights=network.weights(), card=BLANK))


def fit(make: Callable[[], TwoTowers], real: Prepared, training: Training, seed: int) -> TwoTowers:
    """Return a network of any kind that is trained on talks of one kind in the given way."""
    draw = np.random.default_rng(seed)
    drawn, steps = prepare(training.drawn), training.steps + training.first_steps
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = make()
        optimizer = torch.optim.AdamW(network.parameters(), lr=sync_training._RATE, weight_decay=sync_training._DECAY)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, sync_training._RATE, total_steps=steps, pct_start=sync_training._WARM_UP
        )
        for step in range(steps):
            chosen = _choose(real, drawn, 1.0 if step < training.first_steps else training.drawn_share, draw)
            windows = [training.draw_window(mouth_TD, levels_NF, draw) for mouth_TD, levels_NF in chosen]
            loss = _loss(network, windows, training.other_voices)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return network


def prepare(talks: Sequence[Talk], see_mouth: Callable[[Floats], Floats] = standardise_distances) -> Prepared:
    """Return what networks read of talks that are longer than a window."""
    return [
        (see_mouth(talk.distances_TD), mel_levels(talk.samples, len(talk.distances_TD)))
        for talk in talks
        if len(talk.distances_TD) > WINDOW
    ]


def _choose(real: Prepared, drawn: Prepared, drawn_share: float, draw: np.random.Generator) -> Prepared:
    """Return a batch, of which each talk is drawn with `drawn_share`, and the longer talks more often."""
    count = int(draw.binomial(BATCH, drawn_share)) if drawn and drawn_share else 0
    batch: Prepared = []
    for prepared, number in ((drawn, count), (real, BATCH - count)):
        if number:
            lengths = np.array([len(mouth_TD) - WINDOW for mouth_TD, _ in prepared], float)
            batch += [prepared[index] for index in draw.choice(len(prepared), number, p=lengths / lengths.sum())]
    return batch


def _loss(network: TwoTowers, windows: Sequence[tuple[Floats, Floats, Floats]], other_voices: float) -> torch.Tensor:
    mouth_BWD, sound_BNF, heard_BN = (torch.from_numpy(np.stack(values)) for values in zip(*windows, strict=True))
    own = sync_training._shift_loss(network, mouth_BWD.mT, sound_BNF.mT, heard_BN)
    return (
        own
        if not other_voices
        else (1 - other_voices) * own + other_voices * _voice_loss(network, mouth_BWD, sound_BNF, heard_BN)
    )


def _voice_loss(
    network: TwoTowers, mouth_BWD: torch.Tensor, sound_BNF: torch.Tensor, heard_BN: torch.Tensor
) -> torch.Tensor:
    """Return the cross-entropy of the true voice and shift among all voices V and shifts S of the batch."""
    mouth_BEW, sound_BEN = network(mouth_BWD.mT, sound_BNF.mT)
    sound_VESW, heard_VSW = sound_BEN.unfold(2, WINDOW, 1), heard_BN.unfold(1, WINDOW, 1)
    cosine_BVSW = torch.einsum("bew,vesw->bvsw", mouth_BEW, sound_VESW) * heard_VSW
    likeness_BVS = cosine_BVSW.sum(3) / heard_VSW.sum(2).clamp(min=1)
    count, shifts = likeness_BVS.shape[1:]
    true = torch.arange(count) * shifts + sync_training.REACH
    return functional.cross_entropy((likeness_BVS * network.scale.exp()).flatten(1), true)
