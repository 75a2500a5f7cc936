"""Learn the sync from LR-ASD's embedding of the face too, on the clips and pieces of `learned_sync`, people held out.

Shapes: T frames, V = 128 values of an embedding, K = 20 principal components of them, D = 11 distances.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
from avf_curation.detectors.detector_set import BackendSelection, Detectors
from avf_curation.detectors.envelope_sync import standardise_curve
from avf_curation.detectors.face_components import COMPONENTS, FaceComponents, fit_components
from avf_curation.detectors.sync_calibration import LearningClip, PieceScore, split_into_folds
from avf_curation.detectors.sync_head import Floats, SyncHead, read_mouth, scale_lead
from avf_curation.detectors.sync_training import REACH, Talk, TwoTowers
from avf_curation.detectors.threads import limit_threads
from avf_curation.detectors.weights import KNOWN
from avf_curation.media.decode import MediaFile
from avf_curation.pipeline import refining
from avf_curation.pipeline.screening import screen_shots
from avf_curation.recipe import load_recipe
from avf_curation.stages.sync import PEAK_HALF_WIDTH
from avf_shards.timeline import Span
from torch import nn

from benchmarks.learned_sync import SEED, WEIGHTS, split_grid, talker_files
from benchmarks.sync_architectures import COLUMNS, SEEDS, cut_pieces, measure_heads
from benchmarks.sync_material import Training, fit, format_figures, prepare
from benchmarks.sync_towers import TorchHead
from benchmarks.table import SHARED, Section
from benchmarks.talker_cache import read_talkers_once

LR_ASD = SHARED / "assets/weights" / KNOWN["lr_asd"].file_name
DISTANCES = 11
LIKENESS_WEIGHT = 2.0  # of the network's curve beside the envelope's, where the embedding is read


@dataclass(frozen=True, kw_only=True)
class Projection:
    """What a network reads of a mouth: its distances, its embedding on principal components, or both."""

    reads_distances: bool
    components: FaceComponents

    def __call__(self, values_TD: Floats) -> Floats:
        """Return the features of a clip from its distances and its embeddings side by side, (T, D + V)."""
        distances_TD, embeddings_TV = np.split(values_TD, [DISTANCES], axis=1)
        if not self.reads_distances:
            return self.components.project(embeddings_TV)
        return read_mouth(distances_TD, embeddings_TV, self.components)


@dataclass(frozen=True, kw_only=True)
class HeavierPiece(PieceScore):
    """A piece whose network counts twice, also where the mouth moves little."""

    def peak(self) -> tuple[int, float]:
        curve_S = LIKENESS_WEIGHT * standardise_curve(self.likeness_S) + standardise_curve(self.envelope_S)
        best = int(np.argmax(curve_S))
        elsewhere_S = np.abs(np.arange(len(curve_S)) - best) > PEAK_HALF_WIDTH
        lead = float(curve_S[best] - curve_S[elsewhere_S].max())
        return best - REACH, scale_lead(lead, best - REACH, self.length_s, REACH)


class ViewHead(TorchHead):
    """A network that reads a projection."""

    def __init__(self, network: TwoTowers, see: Projection) -> None:
        super().__init__(network)
        self._see = see

    def see_mouth(self, distances_TD: Floats) -> Floats:
        return self._see(distances_TD)


def run() -> list[Section]:
    if not (WEIGHTS.is_file() and LR_ASD.is_file()):
        return []
    clips = read_views()
    grid, others = split_grid(clips)
    rows = [["mouth", "network counts", "people", *COLUMNS]]
    for name, reads_distances in (("embedding", False), ("distances and embedding", True)):
        for people, measured, seeds in (("trained on GRID", others, SEEDS), ("held out", clips, (SEED,))):
            heads = [_heads(clips, grid, measured, reads_distances, seed) for seed in seeds]
            pieces = list(cut_pieces(measured))
            for weight, of_weight in (("as shipped", pieces), ("twice", [(_weigh(p), d, s) for p, d, s in pieces])):
                figures = [measure_heads(of_seed, measured, of_weight) for of_seed in heads]
                rows.append([name, weight, people, *format_figures(np.mean(figures, axis=0))])
                print(" | ".join(rows[-1]), flush=True)
    note = (
        "The shipped network with other inputs: LR-ASD's embedding of the face in each frame on "
        f"{COMPONENTS} principal components of the training clips, alone or beside the 11 distances. Counts twice: the network's curve has "
        "twice the weight of the envelope's, and the rule for mouths that move little does not hold. Trained on GRID: means of "
        f"{len(SEEDS)} seeds; held out: five folds over all {len(clips)} clips. Columns as above. The network that the package ships reads "
        "the distances alone, because LR-ASD's weights are pulled, and with the nine clips of GRID it is no clear gain; avf-curate learn-sync "
        'takes both where the weights are, as in the rows "as shipped".'
    )
    return [Section("Learned sync with the embedding of LR-ASD", note, rows)]


def _weigh(piece: PieceScore) -> HeavierPiece:
    return HeavierPiece(**{each.name: getattr(piece, each.name) for each in fields(piece)})


def _heads(
    clips: list[LearningClip], grid: list[LearningClip], measured: list[LearningClip], reads_distances: bool, seed: int
) -> dict[int, SyncHead]:
    """Return the network of each measured clip, which was not trained on its person."""
    if len(measured) < len(clips):
        return dict.fromkeys(range(len(measured)), train([clip.talk for clip in grid], reads_distances, seed))
    heads: dict[int, SyncHead] = {}
    for held_out in split_into_folds(clips):
        talks = [clip.talk for number, clip in enumerate(clips) if number not in held_out]
        heads |= dict.fromkeys(held_out, train(talks, reads_distances, seed))
    return heads


def train(talks: Sequence[Talk], reads_distances: bool, seed: int) -> ViewHead:
    """Return a network that is trained as the shipped one, on distances and embeddings side by side."""
    components = fit_components([talk.distances_TD[:, DISTANCES:] for talk in talks])
    see = Projection(reads_distances=reads_distances, components=components)
    inputs = COMPONENTS + DISTANCES * reads_distances
    return ViewHead(fit(functools.partial(make_towers, inputs), prepare(talks, see), Training(), seed), see)


def make_towers(inputs: int) -> TwoTowers:
    """Return the shipped network with another number of inputs of the mouth."""
    network = TwoTowers()
    first, *rest = network.towers["mouth"].children()
    assert isinstance(first, nn.Conv1d)
    wider = nn.Conv1d(inputs, first.out_channels, first.kernel_size[0], padding=first.kernel_size[0] // 2)
    network.towers["mouth"] = nn.Sequential(wider, *rest)
    return network


def read_views() -> list[LearningClip]:
    """Return the real talkers with the embedding of each frame beside the distances of the mouth, (T, D + V)."""
    weights = {"retinaface": WEIGHTS, "lr_asd": LR_ASD}
    detectors = Detectors(
        BackendSelection(track="retinaface-mobilenet", sync="envelope", speaker="lr-asd", weights=weights)
    )
    limit_threads()
    files = {path.stem: path for path in talker_files()}
    clips = []
    for clip in read_talkers_once():
        view_TV = _embed(files[clip.person], detectors, len(clip.talk.distances_TD))
        talk = Talk(distances_TD=np.concatenate([clip.talk.distances_TD, view_TV], axis=1), samples=clip.talk.samples)
        clips.append(replace(clip, talk=talk, measured_TD=np.concatenate([clip.measured_TD, view_TV], axis=1)))
    return clips


def _embed(path: Path, detectors: Detectors, frames: int) -> Floats:
    """Return the embedding of the face in each of the first frames of a talker, (T, V)."""
    settings = load_recipe().defaults
    with MediaFile(path, settings.media) as media:
        screen_shots(media, settings.scenes, settings.faces, detectors.face_finder)
        frames_of_detector = refining.decode_for_detector(media, Span(0, frames), settings.track.side_px, detectors)
        track = refining.track_faces(frames_of_detector, detectors, settings.track)[0]
        crops = refining.crop_clip(media, frames_of_detector, track, settings, detectors, views=["lr-asd"])
    embeddings_TV: Floats = detectors.lr_asd.embed_span(crops.speaker_THW)
    return embeddings_TV
