"""How far a learned sync network can be trusted: pieces of clips whose people it was not trained on.

A piece has its clip's own sound, or sound moved by 7 to 10 frames, so that its true offset is known. The unit of the
confidence is the least lead at which, over all pieces that lead as much, 97 of 100 offsets are right within two frames.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from avf_shards.errors import UserError
from avf_shards.timeline import FRAMES_PER_SECOND, SAMPLES_PER_FRAME

from avf_curation.detectors.envelope_sync import score_envelope_sync
from avf_curation.detectors.face_mesh import FaceMesh, Floats, fill_points, lip_distances, measured_frames
from avf_curation.detectors.mouth import EVERY, see_mouth
from avf_curation.detectors.sync_head import Doubles, SyncHead, weigh_curves
from avf_curation.detectors.sync_head_file import HeadCard, SyncHeadFile
from avf_curation.detectors.sync_training import REACH, Talk, train_towers
from avf_curation.media.types import Bytes, Samples

LENGTHS_S = (3, 5, 8)  # of the pieces
MOVES = (-10, -9, -8, -7, 7, 8, 9, 10)  # frames
RIGHT_SHARE = 0.97  # of the told offsets
TOLERANCE = 2  # frames from the true offset that are right
LEAST_TOLD = 20  # pieces: fewer are no evidence that their share is right
_MOST_FOLDS = 5

BLANK = HeadCard(
    unit=1.0, seed=0, clips=0, seconds=0.0, people=0, sources=(), pieces=0, told_share=0.0, right_share=0.0
)
"""Card of a network that is not calibrated yet."""


@dataclass(frozen=True, kw_only=True)
class LearningClip:
    """A clip to learn from."""

    source: str  # name of its source
    person: str  # in it: no person is in two folds
    talk: Talk  # mouth in every frame, and sound: what is learnt from
    measured_TD: Floats  # the same distances as runs measure them, on which the network is checked
    patches_THWC: Bytes  # image of the mouth in each frame, for the envelope


def learning_clip(
    mesh: FaceMesh,
    frames: Sequence[Bytes],
    samples: Samples,
    source: str,
    person: str,
    *,
    embeddings_TV: Floats | None = None,
) -> LearningClip:
    """Return mouth and sound of the frames of a stored clip, which has at least as much sound.

    `embeddings_TV` are LR-ASD's of these frames, where a network is to read them.
    """
    faces_THWC = np.stack(list(frames))
    points_TP3 = mesh.find_points(faces_THWC)
    seen = measured_frames(len(frames), EVERY)
    mouth = see_mouth(faces_THWC, fill_points(points_TP3[seen], seen))
    return LearningClip(
        source=source,
        person=person,
        talk=Talk(
            distances_TD=lip_distances(points_TP3),
            samples=samples[: len(frames) * SAMPLES_PER_FRAME],
            embeddings_TV=embeddings_TV,
        ),
        measured_TD=mouth.distances_TD,
        patches_THWC=mouth.patches_THWC,
    )


@dataclass(frozen=True, kw_only=True)
class PieceScore:
    """What was measured on one piece of a clip."""

    clip: int  # its number in the list of clips
    length_s: int  # of the piece
    true_offset: int  # frames by which its sound must be moved later
    likeness_S: Doubles  # the network's curve over the shifts
    envelope_S: Doubles  # the envelope's
    mouth_motion: float  # as the envelope measured it

    def peak(self) -> tuple[int, float]:
        """Return the offset by both curves, and the lead of its peak, scaled as `SyncHead.score` does."""
        return weigh_curves(self.likeness_S, self.envelope_S, self.mouth_motion, self.length_s)

    @property
    def is_right(self) -> bool:
        """Whether the offset by both curves is within two frames of the true one."""
        return abs(self.peak()[0] - self.true_offset) <= TOLERANCE


@dataclass(frozen=True, kw_only=True)
class Trust:
    """The calibration of a network."""

    unit: float  # lead that counts as a confidence of 1
    told_share: float  # of the pieces
    right_share: float  # of the told pieces


def split_into_folds(clips: Sequence[LearningClip]) -> list[list[int]]:
    """Return the numbers of the clips of each fold, at most five; all clips of a person are in one.

    Raises UserError for clips of a single person.
    """
    seconds: dict[tuple[str, str], int] = {}
    for clip in clips:
        key = clip.source, clip.person
        seconds[key] = seconds.get(key, 0) + len(clip.talk.distances_TD)
    if len(seconds) < 2:
        raise UserError("the clips are of one person: a network is checked on people that it was not trained on")
    members: list[set[tuple[str, str]]] = [set() for _ in range(min(_MOST_FOLDS, len(seconds)))]
    totals = [0] * len(members)
    for key in sorted(seconds, key=lambda key: (-seconds[key], key)):  # the longest first, into the shortest fold
        fold = totals.index(min(totals))
        totals[fold] += seconds[key]
        members[fold].add(key)
    return [[n for n, clip in enumerate(clips) if (clip.source, clip.person) in people] for people in members]


def cross_validate(
    clips: Sequence[LearningClip], seed: int, on_fold: Callable[[int, int], None] = lambda done, folds: None
) -> list[PieceScore]:
    """Return the scores of the pieces of every clip by a network that was trained on the other folds."""
    folds = split_into_folds(clips)
    pieces: list[PieceScore] = []
    for done, held_out in enumerate(folds, 1):
        others = [clip.talk for n, clip in enumerate(clips) if n not in set(held_out)]
        head = SyncHead(SyncHeadFile(weights=train_towers(others, seed), card=BLANK))
        for number in held_out:
            pieces += score_pieces(head, clips[number], number, seed)
        on_fold(done, len(folds))
    return pieces


def score_pieces(head: SyncHead, clip: LearningClip, number: int, seed: int) -> Iterator[PieceScore]:
    """Yield the scores of the pieces of a clip; none where its mouth or its sound does not change."""
    draw = np.random.default_rng([seed, number])
    talk = clip.talk
    for length_s in LENGTHS_S:
        frames = length_s * FRAMES_PER_SECOND
        for first in range(0, len(talk.distances_TD) - frames + 1, max(FRAMES_PER_SECOND, frames // 2)):
            for move in (0, int(draw.choice(MOVES))):
                moved = np.roll(talk.samples, move * SAMPLES_PER_FRAME)
                samples = moved[first * SAMPLES_PER_FRAME : (first + frames) * SAMPLES_PER_FRAME]
                piece = slice(first, first + frames)
                envelope = score_envelope_sync(clip.patches_THWC[piece], samples, REACH)
                if envelope is not None:
                    yield PieceScore(
                        clip=number,
                        length_s=length_s,
                        true_offset=-move,
                        likeness_S=head.likeness_by_shift(
                            clip.measured_TD[piece],
                            samples,
                            REACH,
                            embeddings_TV=None if talk.embeddings_TV is None else talk.embeddings_TV[piece],
                        ),
                        envelope_S=envelope.curve_S,
                        mouth_motion=envelope.mouth_motion,
                    )


def calibrate(pieces: Sequence[PieceScore]) -> Trust:
    """Return the unit of the confidence at which the told offsets of these pieces are right often enough.

    Raises UserError where no unit is, or too few pieces are told by it.
    """
    leads = np.array([piece.peak()[1] for piece in pieces])
    right = np.array([piece.is_right for piece in pieces])
    order = np.argsort(-leads, kind="stable")
    share = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    enough = np.flatnonzero((share >= RIGHT_SHARE) & (leads[order] > 0))
    told = 0 if not len(enough) else int(enough[-1]) + 1
    if told < LEAST_TOLD:
        raise UserError(
            f"of {len(pieces)} pieces of people who were held out, {told} have an offset that is right in "
            f"{RIGHT_SHARE:.0%} of the cases, and {LEAST_TOLD} are needed: there are too few clips, or their sound is "
            "not in sync; curate more of them"
        )
    return Trust(unit=float(leads[order[told - 1]]), told_share=told / len(pieces), right_share=float(share[told - 1]))
