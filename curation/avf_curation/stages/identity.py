"""Two people are never one clip: does the tracked face become that of another person, and where?

A network gives each sampled face an embedding, a point that is near to those of the same person. The measure is a jump
that stays: the distance between the middle of the embeddings before a moment and behind it, less how far those of each
side lie from their middle. A turned head, a hand before the face or a blurred frame moves single embeddings, and light
that changes moves all of them by less than another person does.

Shapes: N sampled faces, D numbers of an embedding.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from avf_shards.schema.ledger import Check
from avf_shards.timeline import FRAMES_PER_SECOND, Span

from avf_curation.stages.tracking import NO_FRAMES, STAGE, SpanPart, TrackConfig

Floats = npt.NDArray[np.float64]
EmbedFaces = Callable[[Sequence[int]], Floats]
"""Frame numbers of the span -> the embedding of the tracked face in each, (N, D)."""

TWO_PEOPLE = "two_people"  # the reason of a part in which one person gives way to another
_MIN_SAMPLES = 6  # of a span, however short
_SIDE_SAMPLES = 4  # on either side of a moment that count, so that a person who comes and goes is seen too
_MIN_SIDE_SAMPLES = 2  # a single embedding does not stay
_MARGIN = 2  # frames on either side of the change that may show something of both


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Whether a track stays with one person."""

    jump: float  # of the embeddings, as the module describes it
    change: Span = NO_FRAMES  # frames, counted in the span, in which one person gives way to another; empty: none does

    def record(self) -> dict[str, Any]:
        """Return the measurement as the ledger stores it, beside those of the track."""
        return {"identity_jump": round(self.jump, 4)}


def measure(frames: int, embed: EmbedFaces, config: TrackConfig) -> Identity:
    """Return the largest jump of a track of `frames` frames, and where it is if it exceeds `max_identity_jump`."""
    count = max(_MIN_SAMPLES, round(frames / FRAMES_PER_SECOND / config.identity_s) + 1)
    samples = np.unique(np.linspace(0, frames - 1, count).round().astype(int))
    if len(samples) < 2 * _MIN_SIDE_SAMPLES:
        return Identity(jump=0.0)
    embeddings_ND = embed(samples.tolist())
    jumps = {
        number: measure_jump(embeddings_ND, number)
        for number in range(_MIN_SIDE_SAMPLES, len(samples) - _MIN_SIDE_SAMPLES + 1)
    }
    number = max(jumps, key=lambda number: (jumps[number], -number))
    jump = jumps[number]
    if jump <= config.max_identity_jump:
        return Identity(jump=jump)
    before_D, behind_D = _middles(embeddings_ND, number)

    def is_second(embedding_ND: Floats) -> npt.NDArray[np.bool_]:
        """Return which faces are nearer to those behind the jump."""
        distances_2N = [np.linalg.norm(embedding_ND - middle_D, axis=1) for middle_D in (before_D, behind_D)]
        return np.asarray(distances_2N[1] < distances_2N[0])

    # Middles hardly move where one of four embeddings is of the other person, so the jump may be a sample away.
    start = max(0, number - _SIDE_SAMPLES)
    number = start + _best_split(is_second(embeddings_ND[start : number + _SIDE_SAMPLES]))
    first, last = int(samples[number - 1]), int(samples[number])
    while last - first > 1:
        middle = (first + last) // 2
        first, last = (first, middle) if is_second(embed([middle]))[0] else (middle, last)
    return Identity(jump=jump, change=Span(max(0, last - _MARGIN), min(frames, last + _MARGIN)))


def _best_split(is_second_N: npt.NDArray[np.bool_]) -> int:
    """Return how many faces lie before the split with the fewest faces on the wrong side, one at least."""
    wrong = [int(is_second_N[:number].sum() + (~is_second_N[number:]).sum()) for number in range(1, len(is_second_N))]
    return 1 + int(np.argmin(wrong))


def measure_jump(embeddings_ND: Floats, number: int) -> float:
    """Return the jump between the embeddings before sample `number` and those from it on."""
    before_D, behind_D = _middles(embeddings_ND, number)
    before_ND, behind_ND = _sides(embeddings_ND, number)
    spread = max(_spread(before_ND, before_D), _spread(behind_ND, behind_D))
    return float(np.linalg.norm(before_D - behind_D)) - spread


def _sides(embeddings_ND: Floats, number: int) -> tuple[Floats, Floats]:
    return embeddings_ND[max(0, number - _SIDE_SAMPLES) : number], embeddings_ND[number : number + _SIDE_SAMPLES]


def _middles(embeddings_ND: Floats, number: int) -> tuple[Floats, Floats]:
    before_ND, behind_ND = _sides(embeddings_ND, number)
    return np.median(before_ND, axis=0), np.median(behind_ND, axis=0)


def _spread(embeddings_ND: Floats, middle_D: Floats) -> float:
    return float(np.median(np.linalg.norm(embeddings_ND - middle_D, axis=1)))


def split_at_change(identity: Identity, span: Span) -> list[SpanPart]:
    """Return the parts of a span: what each person has alone, and the change between; one part where there is none."""
    change = identity.change
    edges = sorted({0, change.start_frame, change.stop_frame, span.frames} if change.frames else {0, span.frames})
    return [
        SpanPart(
            span=Span(span.start_frame + start, span.start_frame + stop),
            is_change=change.start_frame <= start and stop <= change.stop_frame,
        )
        for start, stop in pairwise(edges)
    ]


def decide(identity: Identity, config: TrackConfig) -> tuple[Check, ...]:
    """Check that the track stays with one person."""
    return (
        Check(
            stage=STAGE,
            reason=TWO_PEOPLE,
            score=identity.jump,
            operator="<=",
            threshold=config.max_identity_jump,
            setting="track.max_identity_jump",
        ),
    )
