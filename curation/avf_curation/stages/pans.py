"""Finds where a pan carries one face out of the picture and another one into it."""

from collections.abc import Sequence

import numpy as np
from avf_shards.timeline import Span

from avf_curation.stages.faces import Box

#: Of a face's side, from one frame to the next: faster is a pan. Measured: people who talk move by 0.03 at most in 95
#: of 100 frames, and a pan over a picture of twice a face's width by 0.05 in 1.6 s, by 0.1 in 0.8 s.
MIN_STEP = 0.04

Chain = list[tuple[int, Box]]
"""Detections of one face: (frame number, box), in the order of time."""


def find_pan_edges(stretches: Sequence[Span], tracked: Chain, others: Sequence[Chain]) -> list[int]:
    """Return the frames at which a pan begins and ends around the stretches in which another face has the picture.

    Before a stretch, and behind it, the tracked face moves as long as the pan lasts, and inside of it the other one. A
    stretch that is cut, and no pan, has no such edges.

    Args:
        stretches: frames without the tracked face, in which one of the others is found.
        tracked: detections of the tracked face.
        others: detections of the other faces, each of them.
    """
    edges = []
    for stretch in stretches:
        before = [(frame, box) for frame, box in tracked if frame < stretch.start_frame]
        behind = [(frame, box) for frame, box in tracked if frame >= stretch.stop_frame]
        edges += [_start_of_motion(before), _stop_of_motion(behind)]
        inside = [_part_in(chain, stretch) for chain in others]
        if other := max(inside, key=lambda chain: sum(box.width * box.height for _, box in chain), default=[]):
            edges += [_stop_of_motion(other)]
            edges += [_start_of_motion(other)] if behind else []  # only there does the pan come back
    return sorted({edge for edge in edges if edge is not None})


def _part_in(chain: Chain, stretch: Span) -> Chain:
    return [(frame, box) for frame, box in chain if stretch.start_frame <= frame < stretch.stop_frame]


def _start_of_motion(chain: Chain) -> int | None:
    """Return the frame from which on the face moves up to its last detection; None where it stands there."""
    start = None
    for (earlier, box), (later, next_box) in zip(chain[-2::-1], chain[:0:-1], strict=True):
        if _step(box, next_box, later - earlier) < MIN_STEP:
            break
        start = earlier + 1
    return start


def _stop_of_motion(chain: Chain) -> int | None:
    """Return the frame up to which the face moves from its first detection on; None where it stands there."""
    stop = None
    for (earlier, box), (later, next_box) in zip(chain, chain[1:], strict=False):
        if _step(box, next_box, later - earlier) < MIN_STEP:
            break
        stop = later
    return stop


def _step(box: Box, next_box: Box, frames: int) -> float:
    """Return how far the centre moves in each of `frames` frames, over the face's side."""
    x = (next_box.left + next_box.right - box.left - box.right) / 2
    y = (next_box.top + next_box.bottom - box.top - box.bottom) / 2
    return float(np.hypot(x, y)) / frames / box.side
