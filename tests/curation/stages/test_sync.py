"""The sync stage rejects or corrects confident offsets, and never rejects by an uncertain offset."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from avf_curation.detectors.syncnet import SyncNetScore
from avf_curation.pipeline import refining
from avf_curation.stages import sync
from support.curation_runs import make_recipe
from support.stages import failed_reasons

DEFAULT = make_recipe().defaults


def test_a_low_confidence_offset_does_not_reject() -> None:
    unsure = sync.SyncScores(
        backend="envelope", offset_frames=9, confidence=0.4, distance=None, length_s=3.0, mouth_motion=0.5
    )
    (still, offset) = sync.decide(unsure, DEFAULT.sync)
    assert (still.passed, offset.passed) == (True, None)
    assert sync.repair_frames(unsure, DEFAULT.sync) == 0


def test_a_confident_offset_is_rejected_or_corrected() -> None:
    far = sync.SyncScores(
        backend="envelope", offset_frames=-9, confidence=5.0, distance=None, length_s=8.0, mouth_motion=0.5
    )
    near = sync.SyncScores(
        backend="envelope", offset_frames=-3, confidence=5.0, distance=None, length_s=8.0, mouth_motion=0.5
    )
    assert failed_reasons(sync.decide(far, DEFAULT.sync)) == ["offset"]
    assert failed_reasons(sync.decide(near, DEFAULT.sync)) == []
    assert sync.repair_frames(near, DEFAULT.sync) == -3
    for confidence, reasons, frames in ((1.0, ["offset"], -9), (0.99, [], 0)):
        learned = sync.SyncScores(
            backend="learned", offset_frames=-9, confidence=confidence, distance=None, length_s=8.0, mouth_motion=0.5
        )
        assert failed_reasons(sync.decide(learned, DEFAULT.sync)) == reasons
        assert sync.repair_frames(learned, DEFAULT.sync) == frames
    poor = sync.SyncScores(backend="syncnet", offset_frames=0, confidence=1.0, distance=9.0, length_s=8.0)
    assert failed_reasons(sync.decide(poor, DEFAULT.sync)) == ["low_confidence"]


@pytest.mark.parametrize(("measured", "expected"), [(-15, None), (-14, None), (-13, -13), (13, 13), (14, None)])
def test_syncnet_tells_no_offset_at_the_rim_of_the_search(measured: int, expected: int | None) -> None:
    """Frames may be up to 15 off: a peak at 14 or 15 may be the flank of one outside the search."""
    curve = np.zeros(31, np.float32)
    score = SyncNetScore(offset=measured, distance=6.0, confidence=5.0, distances_S=curve, windows=1)
    syncnet = SimpleNamespace(score=lambda *args, **options: score)
    detectors: Any = SimpleNamespace(syncnet=syncnet, sync_head=None)
    frames = np.zeros((50, 1, 1, 3), np.uint8)
    crops = refining.FaceCrops(face_THWC=frames, sync_THWC=frames, faces_NHW=frames[..., 0])
    track: Any = None  # SyncNet asks for no position of the mouth
    scores = refining.score_sync(crops, track, np.zeros(32_000, np.int16), DEFAULT.sync, detectors)
    assert (scores.offset_frames, scores.confidence, scores.distance) == (expected, 5.0, 6.0)
    assert sync.repair_frames(scores, DEFAULT.sync) == (expected or 0)
    assert failed_reasons(sync.decide(scores, DEFAULT.sync)) == (["offset"] if expected else [])
