"""The sync stage rejects or corrects confident offsets, and never rejects by an uncertain offset."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from avf_curation.detectors.envelope_sync import EnvelopeScore
from avf_curation.detectors.sync_head import LearnedScore, find_peak
from avf_curation.detectors.syncnet import SyncNetScore
from avf_curation.pipeline import refining
from avf_curation.stages import sync
from avf_shards.errors import UserError
from support.curation_runs import make_recipe
from support.stages import failed_reasons

DEFAULT = make_recipe().defaults


def fix_score(monkeypatch: pytest.MonkeyPatch, backend: str, offset: int, confidence: float) -> Any:
    """Let a backend measure this offset on any clip, and return the detectors that stand for it."""
    curve_S = np.zeros(31)
    envelope = EnvelopeScore(offset=offset, confidence=confidence, curve_S=curve_S, mouth_motion=0.5)
    seen = SimpleNamespace(patches_THWC=None, distances_TD=None)
    monkeypatch.setattr(refining, "mouth_position", lambda crops, track: None)
    monkeypatch.setattr(refining.envelope_sync, "mouth_patches", lambda frames, mouth: None)
    monkeypatch.setattr(refining.envelope_sync, "score_envelope_sync", lambda patches, samples, shifts: envelope)
    monkeypatch.setattr(refining.envelope_sync, "measure_mouth_motion", lambda patches: 0.5)
    monkeypatch.setattr(refining.mouth, "measure_mouth", lambda mesh, frames: seen)
    learned = LearnedScore(offset=offset, confidence=confidence, likeness=1.0)
    head = SimpleNamespace(score=lambda *arguments, embeddings_TV: learned) if backend == "learned" else None
    return SimpleNamespace(syncnet=None, sync_head=head, face_mesh=None)


@pytest.mark.parametrize("backend", ["envelope", "learned"])
@pytest.mark.parametrize("least", [-1.0, 0.0, 1.0])
def test_what_a_backend_cannot_tell_stays_open_however_low_the_least_confidence_is(
    monkeypatch: pytest.MonkeyPatch, backend: str, least: float
) -> None:
    """At the rim of the search and in a clip that is too short, the confidence is 0."""
    config = make_recipe(f"sync.{backend}_min_confidence={least}").defaults.sync
    frames = np.zeros((100, 1, 1, 3), np.uint8)
    crops = refining.FaceCrops(face_THWC=frames, faces_NHW=frames[..., 0])
    track: Any = None  # no position of the mouth is asked
    for offset, confidence, expected in ((15, 0.0, None), (2, 0.0, None), (-9, 5.0, -9)):
        detectors = fix_score(monkeypatch, backend, offset, confidence)
        scores = refining.score_sync(crops, track, np.zeros(64_000, np.int16), config, detectors)
        assert (scores.backend, scores.offset_frames, scores.confidence) == (backend, expected, confidence)
        assert sync.repair_frames(scores, config) == (expected or 0)
        assert failed_reasons(sync.decide(scores, config)) == (["offset"] if expected else [])
    of_an_older_run = sync.SyncScores(
        backend=backend, offset_frames=15, confidence=0.0, distance=None, length_s=8.0, mouth_motion=0.5
    )
    assert sync.repair_frames(of_an_older_run, config) == 0


def test_the_mouth_moves_as_much_whichever_backend_measures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Less moves in FaceMesh's patches, which follow the lips: a good talker of 3 s was rejected as still."""
    rng = np.random.default_rng(0)
    along_track, along_lips = (rng.integers(0, high, (100, 20, 32, 3)).astype(np.uint8) for high in (256, 128))
    seen = SimpleNamespace(patches_THWC=along_lips, distances_TD=None)
    monkeypatch.setattr(refining, "mouth_position", lambda crops, track: None)
    monkeypatch.setattr(refining.envelope_sync, "mouth_patches", lambda frames, mouth: along_track)
    monkeypatch.setattr(refining.mouth, "measure_mouth", lambda mesh, frames: seen)
    head = SimpleNamespace(score=lambda *arguments, embeddings_TV: LearnedScore(offset=0, confidence=1.0, likeness=1.0))
    crops = refining.FaceCrops(face_THWC=np.zeros((100, 1, 1, 3), np.uint8), faces_NHW=np.zeros((100, 1, 1), np.uint8))
    samples = rng.integers(-9_000, 9_000, 64_000).astype(np.int16)
    track: Any = None  # no position of the mouth is asked
    motions = []
    for sync_head in (None, head):
        detectors: Any = SimpleNamespace(syncnet=None, sync_head=sync_head, face_mesh=None)
        motions.append(refining.score_sync(crops, track, samples, DEFAULT.sync, detectors).mouth_motion)
    assert motions[0] == motions[1] == refining.envelope_sync.measure_mouth_motion(along_track)
    assert motions[0] != refining.envelope_sync.measure_mouth_motion(along_lips)


@pytest.mark.parametrize("backend", ["auto", "syncnet", "learned", "envelope"])
@pytest.mark.parametrize("shifts", [0, 1, 3])
def test_a_search_without_shifts_to_compare_a_peak_with_is_refused(backend: str, shifts: int) -> None:
    narrow = [f"sync.{prefix}max_offset_frames=0" for prefix in ("", "envelope_", "learned_")]
    with pytest.raises(UserError, match=f"shifts {shifts} must be at least 4, because a peak is compared with"):
        make_recipe(f"sync.backend={backend}", f"sync.shifts={shifts}", *narrow)
    assert make_recipe(f"sync.backend={backend}", "sync.shifts=4", *narrow).defaults.sync.shifts == 4


@pytest.mark.parametrize("position", range(9))
def test_the_narrowest_search_has_a_lead_wherever_its_peak_is(position: int) -> None:
    curve_S = np.eye(9)[position]
    offset, lead = find_peak(curve_S, curve_S)
    assert (offset, lead > 0) == (position - 4, True)


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
