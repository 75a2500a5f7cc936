"""Measure the learned sync network on real people that it was not trained on, beside the envelope on the same pieces."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from avf_curation.detectors import envelope_sync
from avf_curation.detectors.detector_set import BackendSelection, Detectors
from avf_curation.detectors.face_mesh import FaceMesh
from avf_curation.detectors.sync_calibration import (
    BLANK,
    LENGTHS_S,
    LearningClip,
    PieceScore,
    calibrate,
    learning_clip,
    score_pieces,
    split_into_folds,
)
from avf_curation.detectors.sync_head import SyncHead, scale_lead
from avf_curation.detectors.sync_head_file import SyncHeadFile
from avf_curation.detectors.sync_training import REACH, train_towers
from avf_curation.detectors.threads import limit_threads
from avf_curation.detectors.weights import KNOWN
from avf_curation.media.decode import MediaFile
from avf_curation.pipeline import refining
from avf_curation.pipeline.screening import screen_shots
from avf_curation.recipe import load_recipe
from avf_curation.stages.sync import PEAK_HALF_WIDTH
from avf_shards.timeline import FRAMES_PER_SECOND, SAMPLES_PER_FRAME, Span

from benchmarks.envelope import REAL, TRUE_OFFSETS
from benchmarks.table import SHARED, Section

MORE = (
    *("grid_pwij3p.mpg", "grid_sbia1a.mpg", "grid_sbwe5n.mpg"),
    *("retalking_face_3.mp4", "talkvid_10_talking.mp4"),
)
WEIGHTS = SHARED / "assets/weights" / KNOWN["retinaface_mobilenet"].file_name
SEED = 0
VOICE_S = 8  # seconds of a mouth that is asked whether a voice is its own
OWN_SHARE = 0.95  # of the own voices that the threshold keeps
Curve = np.ndarray


def run() -> list[Section]:
    if not WEIGHTS.is_file():
        return []
    clips = read_talkers()
    grid, others = split_grid(clips)
    return [
        *_sections("people held out", clips, list(_score_held_out(clips))),
        *_sections("trained on GRID alone", others, list(score_others(train_head(grid), others))),
    ]


def read_talkers() -> list[LearningClip]:
    """Return the first 20 s of each real talker; each file is a person."""
    detectors = Detectors(
        BackendSelection(track="retinaface-mobilenet", sync="envelope", weights={"retinaface": WEIGHTS})
    )
    mesh, clips = FaceMesh.from_program(), []
    for path in talker_files():
        clips += list(_read_clip(path, detectors, mesh))
    limit_threads()
    return clips


def talker_files() -> list[Path]:
    """Return the files of the real talkers; their names are those of the people."""
    return [*(SHARED / "assets/video" / n for n in REAL), *(SHARED / "assets/video_more" / n for n in MORE)]


def split_grid(clips: list[LearningClip]) -> tuple[list[LearningClip], list[LearningClip]]:
    """Return the clips of GRID, whose licence lets weights be shipped, and all others."""
    grid = [clip for clip in clips if clip.person.startswith("grid")]
    return grid, [clip for clip in clips if not clip.person.startswith("grid")]


def _read_clip(path: Path, detectors: Detectors, mesh: FaceMesh) -> Iterator[LearningClip]:
    """Yield the first 20 s of a talker, with the sound moved by the clip's own offset."""
    settings = load_recipe().defaults
    with MediaFile(path, settings.media) as media:
        video_track, _ = screen_shots(media, settings.scenes, settings.faces, detectors.face_finder)
        span = Span(0, min(20 * FRAMES_PER_SECOND, video_track.decoded_frames))
        audio_track = media.audio(video_track.frames)
        detector_frames = refining.decode_for_detector(media, span, settings.track.side_px, detectors)
        (track, *_) = refining.track_faces(detector_frames, detectors, settings.track) or (None,)
        if track is None or audio_track is None:
            return
        crops = refining.crop_clip(media, detector_frames, track, settings, detectors)
    samples = np.roll(audio_track.cut(span), TRUE_OFFSETS.get(path.name, 0) * SAMPLES_PER_FRAME)
    yield learning_clip(mesh, list(crops.face_THWC), samples, "real", path.stem)


def _score_held_out(clips: list[LearningClip]) -> Iterator[tuple[SyncHead, PieceScore]]:
    for held_out in split_into_folds(clips):
        head = train_head([clip for number, clip in enumerate(clips) if number not in held_out])
        for number in held_out:
            yield from ((head, piece) for piece in score_pieces(head, clips[number], number, SEED))


def score_others(head: SyncHead, others: list[LearningClip]) -> Iterator[tuple[SyncHead, PieceScore]]:
    """Yield the scores of the pieces of people that a network was not trained on, each with the network."""
    for number, clip in enumerate(others):
        yield from ((head, piece) for piece in score_pieces(head, clip, number, SEED))


def train_head(clips: list[LearningClip]) -> SyncHead:
    """Return a network that is trained on the clips and not calibrated."""
    return SyncHead(SyncHeadFile(weights=train_towers([clip.talk for clip in clips], SEED), card=BLANK))


def _sections(title: str, clips: list[LearningClip], scored: list[tuple[SyncHead, PieceScore]]) -> list[Section]:
    pieces = [piece for _, piece in scored]
    limit = load_recipe().defaults.sync.envelope_min_confidence
    units = {
        number: calibrate([piece for piece in pieces if piece.clip != number]).unit
        for number in {piece.clip for piece in pieces}
    }
    rows = [["length", "backend", "pieces", "right within 2 frames", "told", "told and right", "ROC area"]]
    for length_s in LENGTHS_S:
        of_length = [piece for piece in pieces if piece.length_s == length_s]
        envelopes = [_envelope_peak(piece) for piece in of_length]
        envelope_right = [abs(p[0] - piece.true_offset) <= 2 for p, piece in zip(envelopes, of_length, strict=True)]
        confident = [confidence >= limit for _, confidence in envelopes]
        area = measure_area(of_length, [piece.envelope_S for piece in of_length])
        rows.append([*_row(length_s, "envelope", envelope_right, confident), f"{area:.3f}"])
        curves = [
            envelope_sync.standardise_curve(piece.likeness_S) + envelope_sync.standardise_curve(piece.envelope_S)
            for piece in of_length
        ]
        told = [piece.peak()[1] >= units[piece.clip] for piece in of_length]
        right = [piece.is_right for piece in of_length]
        rows.append([*_row(length_s, "learned", right, told), f"{measure_area(of_length, curves):.3f}"])
    note = (
        f"{len(clips)} clips, {sum(len(c.talk.distances_TD) for c in clips) / FRAMES_PER_SECOND:.0f} s. Pieces with their own "
        "sound, and with the sound moved by 7 to 10 frames. Told: confidence of 1 and more, in the unit that the pieces "
        f"of the other people give; envelope: {limit:g}. ROC area: as of the envelope. Of the voices of other people, laid "
        f"over {VOICE_S} s, {measure_foreign(clips, {piece.clip: head for head, piece in scored}):.0%} have a likeness at which {OWN_SHARE:.0%} of the own voices "
        "are kept (no gate; the ledger does not judge it)."
    )
    return [Section(f"Learned sync on the real clips, {title}", note, rows)]


def _row(length_s: int, backend: str, right: Sequence[bool], told: Sequence[bool]) -> list[str]:
    right_told = sum(r and t for r, t in zip(right, told, strict=True)) / max(1, sum(told))
    return [
        f"{length_s} s",
        backend,
        str(len(right)),
        f"{np.mean(right):.2f}",
        f"{np.mean(told):.2f}",
        f"{right_told:.2f}",
    ]


def _envelope_peak(piece: PieceScore) -> tuple[int, float]:
    """Return the offset and the confidence of the envelope alone."""
    curve_S = piece.envelope_S
    best = int(np.argmax(curve_S))
    elsewhere_S = np.abs(np.arange(len(curve_S)) - best) > PEAK_HALF_WIDTH
    lead = float(curve_S[best] - max(0.0, float(curve_S[elsewhere_S].max())))
    return best - REACH, scale_lead(lead, best - REACH, piece.length_s, REACH)


def measure_area(pieces: Sequence[PieceScore], curves: Sequence[Curve]) -> float:
    """Return the ROC area that separates pieces in sync from moved ones, by the curve's best near no offset."""
    near = np.abs(np.arange(2 * REACH + 1) - REACH) <= 3
    values = [
        (piece.true_offset == 0, float(curve_S[near].max() - curve_S[~near].max()))
        for piece, curve_S in zip(pieces, curves, strict=True)
    ]
    own, moved = ([value for inside, value in values if inside is side] for side in (True, False))
    return float(np.mean([(a > b) + 0.5 * (a == b) for a in own for b in moved]))


def measure_foreign(clips: list[LearningClip], heads: Mapping[int, SyncHead]) -> float:
    """Return the share of other people's voices whose likeness is at least that of 95 % of the own voices.

    `heads` has the network of each clip by its number.
    """
    frames = VOICE_S * FRAMES_PER_SECOND
    own: list[float] = []
    foreign: list[float] = []
    for number, clip in enumerate(clips):
        for first in range(0, len(clip.talk.distances_TD) - frames + 1, frames // 4):
            mouth = clip.measured_TD[first : first + frames]
            for other, voice in enumerate(clips):
                samples = voice.talk.samples[: frames * SAMPLES_PER_FRAME]
                if other == number:
                    samples = clip.talk.samples[first * SAMPLES_PER_FRAME : (first + frames) * SAMPLES_PER_FRAME]
                if len(samples) == frames * SAMPLES_PER_FRAME:
                    likeness = float(heads[number].likeness_by_shift(mouth, samples, REACH).max())
                    (own if other == number else foreign).append(likeness)
    return float(np.mean(np.array(foreign) >= np.quantile(own, 1 - OWN_SHARE)))
