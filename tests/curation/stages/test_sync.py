"""The sync stage rejects or corrects confident offsets, and never rejects by an uncertain offset."""

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
    poor = sync.SyncScores(backend="syncnet", offset_frames=0, confidence=1.0, distance=9.0, length_s=8.0)
    assert failed_reasons(sync.decide(poor, DEFAULT.sync)) == ["low_confidence"]
