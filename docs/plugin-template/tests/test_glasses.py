"""A bar over the bridge of the nose is measured and rejected, and avf-curate takes the stage as one of its own."""

import numpy as np
import pytest
from avf_curation.recipe import load_recipe
from avf_curation.stages.added_stages import load_stage
from avf_curation.stages.definition import FaceSpan
from avf_interviews.glasses import STAGE, GlassesConfig, decide, measure


def make_face(rim_px: int, *, scale: float = 1.0) -> FaceSpan:
    """Return ten frames of a noisy face of 100 pixels, with a dark bar of `rim_px` rows over the bridge."""
    face_THWC = np.random.default_rng(0).normal(150, 6, (10, 160, 160, 3))
    face_THWC[:, 62 : 62 + rim_px, 40:120] = 60
    return FaceSpan(
        face_THWC=face_THWC.clip(0, 255).astype(np.uint8),
        boxes_T4=np.tile([30.0, 30, 130, 130], (10, 1)),
        samples=np.zeros(10 * 640, np.int16),
        seconds=0.4,
        scale=scale,
    )


def test_a_rim_is_rejected_and_a_bare_face_passes() -> None:
    config = GlassesConfig()
    (rim,), (bare,) = decide(measure(make_face(8), config), config), decide(measure(make_face(0), config), config)
    assert (rim.passed, bare.passed) == (False, True)
    assert (rim.stage, rim.reason, rim.setting) == ("glasses", "frame", "glasses.max_bridge")


def test_a_face_that_is_small_in_the_source_is_not_judged() -> None:
    scores = measure(make_face(8, scale=2.0), GlassesConfig())
    assert scores.record() == {"bridge": None, "frames": 0}
    assert decide(scores, GlassesConfig())[0].passed is None


def test_a_setting_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="every 0"):
        GlassesConfig(every=0)


def test_avf_curate_knows_the_stage_and_a_recipe_sets_it() -> None:
    added = load_stage("glasses")
    assert added is not None
    assert (added.stage, added.package) == (STAGE, "avf-interviews 0.1.0")
    settings = load_recipe(None, ["glasses.max_bridge=4", "gates.glasses=measure"]).defaults
    assert settings.glasses.max_bridge == 4.0
    assert settings.gates.glasses == "measure"
