"""A score that could not be measured keeps a span or rejects it, as the recipe says of each gate."""

import pytest
from avf_curation.recipe import load_recipe
from avf_curation.stages import faces, quality, silence, speaker, sync
from avf_curation.stages.faces import FacesScores
from avf_curation.stages.undecided import STAGES_WITH_UNDECIDED, make_undecided_check, undecided_reasons
from avf_shards.errors import UserError
from avf_shards.schema.ledger import Check
from avf_shards.timeline import Span


def make_checks(**scores: float | None) -> list[Check]:
    return [
        Check(stage="quality", reason=reason, score=score, operator="<=", threshold=5.0)
        for reason, score in scores.items()
    ]


@pytest.mark.parametrize(
    ("checks", "reasons"),
    [
        (make_checks(bars=1.0, frozen=None), ["frozen"]),
        (make_checks(watermark=None), ["watermark"]),
        (make_checks(watermark=None, watermark_pooled=None), ["watermark"]),
        (make_checks(watermark=None, watermark_pooled=1.0), []),
        (make_checks(watermark=1.0, watermark_pooled=None), []),
        (make_checks(), []),
    ],
)
def test_a_watermark_is_undecided_where_neither_search_could_tell(checks: list[Check], reasons: list[str]) -> None:
    assert undecided_reasons(checks) == reasons
    check = make_undecided_check("quality", checks)
    assert check.passed is not bool(reasons)
    assert (check.reason, check.score, check.setting) == ("undecided", len(reasons), "gates.undecided.quality")


def test_undecided_spans_are_kept_unless_the_recipe_rejects_them() -> None:
    open_check = Check(stage="sync", reason="offset", score=None, operator="<=", threshold=6.0)
    keeps = load_recipe().defaults.gates
    assert keeps.undecided_checks("sync", (open_check,)) == ()
    rejects = load_recipe(None, ["gates.undecided.sync=reject"]).defaults.gates
    assert [check.passed for check in rejects.undecided_checks("sync", (open_check,))] == [False]
    assert rejects.undecided_checks("quality", (open_check,)) == ()
    with pytest.raises(UserError, match=r"gates.undecided.sync: 'drop' is not one of 'keep', 'reject'"):
        load_recipe(None, ["gates.undecided.sync=drop"])
    with pytest.raises(UserError, match=r"gates.undecided.snyc: unknown setting; did you mean 'sync'"):
        load_recipe(None, ["gates.undecided.snyc=reject"])


def test_the_stages_that_may_have_no_score_are_those_that_the_recipe_names() -> None:
    defaults = load_recipe().defaults
    no_face = FacesScores(
        counts=(0,),
        no_face_share=1.0,
        several_share=0.0,
        face_px=None,
        size_ratio=None,
        inside=None,
        aspect_low=None,
        aspect_high=None,
    )
    unheard = silence.Stretch(span=Span(0, 50), speech=True, level_dbfs=-20.0, speech_share=None)
    silent = sync.SyncScores(backend="envelope", offset_frames=None, confidence=None, distance=None, length_s=1.0)
    still = quality.QualityScores(sharpness=9.0, frozen_s=0.0, black_share=0.0, bars=0.0, overlay_px=None)
    checks = [
        *faces.decide(no_face, defaults.faces),
        *silence.decide(unheard, defaults.silence),
        *speaker.decide(speaker.SpeakerScores(backend="none"), defaults.speaker),
        *sync.decide(silent, defaults.sync),
        *quality.decide(still, defaults.quality),
    ]
    assert {check.stage for check in checks if check.score is None} == set(STAGES_WITH_UNDECIDED)
    assert set(vars(defaults.gates.undecided)) == set(STAGES_WITH_UNDECIDED)
