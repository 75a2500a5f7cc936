"""Compare the learned sync network with more varied windows and two other architectures, on people not trained on.

The clips and pieces are those of learned_sync.py, the training clips those of the shipped network; each row is printed when it is measured.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from avf_curation.detectors import envelope_sync
from avf_curation.detectors.sync_calibration import (
    BLANK,
    LENGTHS_S,
    LearningClip,
    PieceScore,
    calibrate,
    score_pieces,
)
from avf_curation.detectors.sync_head import Doubles, Floats, SyncHead
from avf_curation.detectors.sync_head_file import SyncHeadFile
from avf_curation.detectors.sync_training import REACH, STEPS, Talk, TwoTowers, train_towers
from avf_curation.media.types import Samples
from avf_shards.errors import UserError

from benchmarks import sync_towers
from benchmarks.learned_sync import OWN_SHARE, SEED, VOICE_S, WEIGHTS, measure_area, measure_foreign, split_grid
from benchmarks.table import Section
from benchmarks.talker_cache import read_talkers_once

SEEDS = (0, 1, 2)
COLUMNS = (
    *(f"{figure} {length_s} s" for length_s in LENGTHS_S for figure in ("right", "told", "told right", "area")),
    f"foreign {VOICE_S} s",
)
Train = Callable[[Sequence[Talk], int], SyncHead]
Piece = tuple[PieceScore, Floats, Samples]
"""A piece with the envelope's curve, its distances and its sound."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A way to train a network."""

    name: str
    parameters: int
    train: Train


def candidates() -> list[Candidate]:
    """Return the shipped network and what is tried beside it."""
    return [
        Candidate(name="shipped", parameters=sync_towers.count_parameters(TwoTowers()), train=_train_shipped),
        _candidate("shipped, more varied windows", TwoTowers, augmented=True),
        _candidate("dilated residual convolutions", sync_towers.make_dilated),
        _candidate("convolutions and GRU", sync_towers.make_recurrent),
    ]


def run() -> list[Section]:
    if not WEIGHTS.is_file():
        return []
    grid, others = split_grid(read_talkers_once())
    pieces = list(cut_pieces(others))
    rows = [["network", "parameters", "seed", *COLUMNS, "CPU s to train"]]
    for candidate in candidates():
        for seed in SEEDS:
            rows.append(_measure_row(candidate, seed, [clip.talk for clip in grid], others, pieces))
            print(" | ".join(rows[-1]), flush=True)
    note = (
        f"Trained on the {len(grid)} clips of GRID in {STEPS} steps, measured on {len(others)} clips of other people: {len(pieces)} pieces, "
        'the same for each network and seed, as in "Learned sync on the real clips, trained on GRID alone", where the columns are explained. '
        "Told: in the unit that the pieces of the other people give; 0.00 where they give none. Foreign: voices of other people with a "
        f"likeness at which {OWN_SHARE:.0%} of the own voices are kept. More varied windows: other tempo, tilt, range and loudness, noise "
        "0 to 20 dB below the speech, other sizes and noise of the distances, half of them from every second frame. Windows of all but "
        "the shipped network are also drawn at any of the shifts, so that no network can learn where in its window a frame is."
    )
    return [Section("Other networks for the learned sync", note, rows)]


def _measure_row(
    candidate: Candidate, seed: int, talks: Sequence[Talk], others: list[LearningClip], pieces: Sequence[Piece]
) -> list[str]:
    """Return the row of a network that is trained on `talks` and measured on the clips of other people."""
    start = time.process_time()
    head = candidate.train(talks, seed)
    spent_s = time.process_time() - start
    return [candidate.name, f"{candidate.parameters:,}", str(seed), *_measure(head, others, pieces), f"{spent_s:.0f}"]


def _train_shipped(talks: Sequence[Talk], seed: int) -> SyncHead:
    return SyncHead(SyncHeadFile(weights=train_towers(talks, seed), card=BLANK))


def _candidate(name: str, make: Callable[[], TwoTowers], augmented: bool = False) -> Candidate:
    def train(talks: Sequence[Talk], seed: int) -> SyncHead:
        return sync_towers.TorchHead(sync_towers.train(make, augmented, talks, seed))

    return Candidate(name=name, parameters=sync_towers.count_parameters(make()), train=train)


class _Recorder(SyncHead):
    """Stands for a network while pieces are cut, and keeps what each would be given."""

    def __init__(self) -> None:
        self.inputs: list[tuple[Floats, Samples]] = []

    def likeness_by_shift(
        self, distances_TD: Floats, samples: Samples, shifts: int, *, embeddings_TV: Floats | None = None
    ) -> Doubles:
        self.inputs.append((distances_TD, samples))
        return np.zeros(2 * shifts + 1)


def cut_pieces(clips: list[LearningClip]) -> Iterator[Piece]:
    """Yield the pieces of all clips with the envelope's curve, and their distances and sound."""
    for number, clip in enumerate(clips):
        recorder = _Recorder()
        pieces = list(score_pieces(recorder, clip, number, SEED))
        for piece, (distances_TD, samples) in zip(pieces, recorder.inputs, strict=True):
            yield piece, distances_TD, samples


def _measure(head: SyncHead, clips: list[LearningClip], pieces: Sequence[Piece]) -> list[str]:
    """Return the columns of a network: four for each length, and the share of foreign voices."""
    *figures, foreign = measure_heads(dict.fromkeys(range(len(clips)), head), clips, pieces)
    texts = [f"{figure:.3f}" if index % 4 == 3 else f"{figure:.2f}" for index, figure in enumerate(figures)]
    return [*(text if text != "nan" else "none" for text in texts), f"{foreign:.0%}"]


def measure_heads(heads: Mapping[int, SyncHead], clips: list[LearningClip], pieces: Sequence[Piece]) -> list[float]:
    """Return the figures of the columns, nan where none is told; `heads` has the network of each clip by its number."""
    scored = [
        replace(piece, likeness_S=heads[piece.clip].likeness_by_shift(distances_TD, samples, REACH))
        for piece, distances_TD, samples in pieces
    ]
    units = {number: _unit([piece for piece in scored if piece.clip != number]) for number in range(len(clips))}
    figures: list[float] = []
    for length_s in LENGTHS_S:
        of_length = [piece for piece in scored if piece.length_s == length_s]
        right = np.array([piece.is_right for piece in of_length])
        is_told = np.array([piece.peak()[1] >= units[piece.clip] for piece in of_length])
        curves = [
            envelope_sync.standardise_curve(piece.likeness_S) + envelope_sync.standardise_curve(piece.envelope_S)
            for piece in of_length
        ]
        right_of_told = float(right[is_told].mean()) if is_told.any() else float("nan")
        figures += [float(right.mean()), float(is_told.mean()), right_of_told, measure_area(of_length, curves)]
    return [*figures, measure_foreign(clips, heads)]


def _unit(pieces: Sequence[PieceScore]) -> float:
    """Return the unit of the confidence, infinite where too few pieces are right."""
    try:
        return calibrate(pieces).unit
    except UserError:
        return float("inf")
