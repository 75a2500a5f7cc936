"""Metrics of forged segments: AP at an overlap, and AR at a number of proposals (LAV-DF; AV-Deepfake1M).

A proposal is (score, start_s, stop_s). Overlap is intersection over union of two spans of time.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from avf_training.evaluation.metrics import Floats

SegmentTimes = tuple[float, float]  # start and stop, in seconds
SegmentProposal = tuple[float, float, float]  # score, start and stop in seconds
OVERLAPS = (0.5, 0.75, 0.9, 0.95)  # of AP
COUNTS = (50, 30, 20, 10, 5)  # proposals of a file, of AR
_AR_OVERLAPS = np.arange(10) * 0.05 + 0.5


def overlaps(proposals: Sequence[SegmentProposal], segments: Sequence[SegmentTimes]) -> Floats:
    """Return intersection over union of each proposal with each segment, (proposals, segments)."""
    spans_P2 = np.array([each[1:] for each in proposals], float).reshape(-1, 1, 2)
    spans_S2 = np.array(segments, float).reshape(1, -1, 2)
    shared = np.minimum(spans_P2[..., 1], spans_S2[..., 1]) - np.maximum(spans_P2[..., 0], spans_S2[..., 0])
    shared = np.maximum(shared, 0)
    joined = np.diff(spans_P2)[..., 0] + np.diff(spans_S2)[..., 0] - shared
    shares_PS: Floats = np.divide(shared, joined, out=np.zeros_like(shared), where=joined > 0)
    return shares_PS


def average_precision(
    proposals: Mapping[str, Sequence[SegmentProposal]],
    segments: Mapping[str, Sequence[SegmentTimes]],
    overlap: float,
    *,
    as_owners: bool = False,
) -> float | None:
    """Return the area under the hull of precision over recall; None where no file has a segment.

    A proposal is right where it overlaps a segment by more than `overlap` that no earlier proposal of its file has.

    Args:
        proposals: of each file, the highest score first.
        segments: of each file; one without a segment is real.
        overlap: intersection over union that is too little.
        as_owners: leave out the recall of the highest proposal of all, as the code of LAV-DF does: a detector without
            an error then has less than 1. For comparisons with published numbers alone.
    """
    count = sum(map(len, segments.values()))
    if not count:
        return None
    rows: list[tuple[float, bool]] = []
    for file, spans in segments.items():
        each = proposals.get(file, ())
        over_PS = overlaps(each, spans) > overlap
        taken_S = np.zeros(len(spans), bool)
        for (score, *_), hits_S in zip(each, over_PS, strict=True):
            rows.append((score, bool((hits_S & ~taken_S).any())))
            taken_S |= hits_S
    rows.sort(key=lambda row: -row[0])
    right_N = np.cumsum([right for _, right in rows])
    precision_N = right_N / np.arange(1, len(rows) + 1)
    hull_N = np.maximum.accumulate(precision_N[::-1])[::-1]
    area_N = np.diff(right_N / count, prepend=0) * hull_N
    return float(area_N[1 if as_owners else 0 :].sum())


def average_recall(
    proposals: Mapping[str, Sequence[SegmentProposal]], segments: Mapping[str, Sequence[SegmentTimes]], count: int
) -> float | None:
    """Return the share of segments that the first `count` proposals of their file overlap, a mean over overlaps.

    The overlaps are 0.5, 0.55 to 0.95. None where no file has a segment.
    """
    best: list[float] = []
    for file, spans in segments.items():
        over_PS = overlaps(proposals.get(file, ())[:count], spans)
        best += over_PS.max(0).tolist() if len(over_PS) else [0.0] * len(spans)
    return float(np.mean([[value > overlap for value in best] for overlap in _AR_OVERLAPS])) if best else None
