"""Two persons side by side are parted at the share of the width that the source states."""

from types import SimpleNamespace

import numpy as np
import pytest
from avf_curation.pipeline.refining import DetectorFrames, track_faces
from avf_curation.sources.types import Side
from avf_curation.stages.faces import Box
from avf_shards.timeline import Span
from support.curation_runs import make_recipe

CONFIG = make_recipe().defaults.track


@pytest.mark.parametrize(
    ("side", "share", "left_edge"),
    [
        (None, 0.5, 420),  # the largest
        ("left", 0.5, 100),
        ("left", 0.38, 100),
        ("left", 0.62, 420),  # both lie left of the border
        ("right", 0.5, 420),
        ("right", 0.62, None),
    ],
)
def test_a_person_is_looked_for_beside_the_border(side: Side | None, share: float, left_edge: int | None) -> None:
    boxes = [Box(left=100, top=100, right=220, bottom=220), Box(left=420, top=100, right=560, bottom=240)]
    detectors = SimpleNamespace(faces=lambda frames, *_: [boxes] * len(frames))
    frames = [np.random.default_rng(n).integers(0, 255, (360, 900, 3), np.uint8) for n in range(10)]
    seen = DetectorFrames(span=Span(0, 10), frames=frames, scale=1.0, width_px=900, height_px=360)
    tracks = track_faces(seen, detectors, CONFIG, side, share)  # type: ignore[arg-type]  # detects what it is given
    assert [track.boxes_T4[0, 0] for track in tracks[:1]] == ([] if left_edge is None else [left_edge])
