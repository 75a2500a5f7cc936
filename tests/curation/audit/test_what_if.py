"""what-if: counts for stricter thresholds are exact, laxer thresholds give bounds, other settings are refused."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from avf_curation.audit.calibrate import propose_thresholds
from avf_curation.audit.what_if import parse_request, what_if_batches
from avf_curation.cli.main import main
from avf_curation.recipe import load_recipe
from avf_curation.stages import faces, identity, picture, quality, silence, speaker, sync, tracking
from avf_curation.stages.checks import THRESHOLD_SETTINGS, decides_spans
from avf_curation.stages.faces import FacesScores
from avf_curation.stages.quality import QualityScores
from avf_curation.stages.sync import SyncScores
from avf_shards.errors import UserError
from avf_shards.schema.ledger import Check, Decision, Status, decisions_to_table
from avf_shards.timeline import Span
from support.curation_runs import IDENTITY as RUN_IDENTITY

IDENTITY = replace(RUN_IDENTITY, sources=("a", "b"), backends={**RUN_IDENTITY.backends, "sync": "syncnet"})


def make_decision(source: str, start: int, status: Status, *checks: Check) -> Decision:
    last = next((check for check in checks if check.passed is False), None)
    rejection: dict[str, Any] = {} if last is None else {"stage": last.stage, "reason": last.reason}
    return Decision(
        source=source,
        video_id="v",
        group_id="v",
        path="v",
        span=Span(start, start + 100),
        status=status,
        checks=checks,
        **rejection,
    )


def sharpness_check(score: float | None) -> Check:
    return Check(
        stage="quality", reason="blurred", score=score, operator=">=", threshold=50.0, setting="quality.min_sharpness"
    )


def confidence_check(score: float) -> Check:
    return Check(
        stage="sync", reason="low_confidence", score=score, operator=">=", threshold=3.0, setting="sync.min_confidence"
    )


LEDGER = decisions_to_table(
    [
        make_decision("a", 0, "kept", confidence_check(3.5), sharpness_check(80.0)),
        make_decision("a", 100, "kept", confidence_check(6.0), sharpness_check(60.0)),
        make_decision("a", 200, "kept", confidence_check(6.0), sharpness_check(None)),
        make_decision("a", 300, "rejected", confidence_check(2.5)),
        make_decision("a", 400, "rejected", confidence_check(1.0)),
        make_decision("a", 500, "failed"),
        make_decision("b", 0, "kept", confidence_check(3.5), sharpness_check(80.0)),
        make_decision(
            "b",
            100,
            "rejected",
            confidence_check(9.0),
            sharpness_check(80.0),
            Check(
                stage="quality",
                reason="watermark_pooled",
                score=9.0,
                operator="<=",
                threshold=5.0,
                setting="quality.max_overlay_px",
            ),
        ),
    ]
)


def changes_per_source(*settings: str, rows: int = 1000) -> dict[str, Any]:
    batches = iter(LEDGER.to_batches(max_chunksize=rows))
    return what_if_batches(batches, parse_request(settings, IDENTITY)).as_json()["sources"]


@pytest.mark.parametrize("rows", [1, 3, 1000])
def test_stricter_threshold_counts_are_exact(rows: int) -> None:
    changes = changes_per_source("sync.min_confidence=4", rows=rows)
    assert changes["a"]["kept_before"] == 300
    assert changes["a"]["kept_after"] == 200
    assert changes["a"]["now_rejected"] == {"sync/low_confidence": 100}
    assert changes["b"]["kept_after"] == 0
    assert changes["a"]["unknown"] == changes["b"]["unknown"] == 0


def test_a_missing_score_does_not_reject() -> None:
    assert changes_per_source("quality.min_sharpness=70")["a"]["kept_after"] == 200


def test_laxer_thresholds_are_unknown_for_spans_that_later_stages_did_not_measure() -> None:
    changes = changes_per_source("sync.min_confidence=2")["a"]
    assert (changes["kept_after"], changes["unknown"], changes["unknown_after"]) == (300, 100, {"sync": 100})


def test_a_laxer_threshold_of_the_last_check_is_exact() -> None:
    changes = changes_per_source("quality.max_overlay_px=10")["b"]
    assert (changes["kept_after"], changes["admitted"], changes["unknown"]) == (200, 100, 0)


def test_thresholds_can_differ_by_source() -> None:
    changes = changes_per_source("sync.min_confidence=4", "sources.a.quality.min_sharpness=70")
    assert changes["a"]["kept_after"] == 100, "only the span whose sharpness nobody could tell"
    assert sum(changes["a"]["now_rejected"].values()) == 200
    assert changes["b"]["kept_after"] == 0


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("silence.top_db=20", "decides which spans exist"),
        ("scenes.min_shot_s=2", "decides which spans exist"),
        ("track.smooth_s=1", "no check in this ledger uses it as a threshold"),
        ("track.link_iou=1", "that checks use: quality.max_overlay_px, quality.min_sharpness, sync.min_con"),
        ("track.backend=dlib", "'dlib' is not a threshold"),
        ("sync.min_confidenc=4", "did you mean 'min_confidence'"),
        ("sources.c.sync.min_confidence=4", "has no source 'c'; it has a, b"),
        ("sync.min_confidence=much", "expected a number"),
    ],
)
def test_a_setting_that_is_no_threshold_is_refused(setting: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        changes_per_source(setting)
    with pytest.raises(UserError, match="no --set given"):
        changes_per_source()


def test_the_share_of_speech_can_be_asked_for_though_its_stage_decides_spans() -> None:
    def heard(start: int, share: float) -> Decision:
        stretch = silence.Stretch(span=Span(start, start + 100), speech=True, level_dbfs=-20.0, speech_share=share)
        checks = silence.decide(stretch, load_recipe().defaults.silence)
        failed = next((check for check in checks if check.passed is False), None)
        return make_decision("a", start, "rejected" if failed else "kept", *checks)

    table = decisions_to_table([heard(100 * n, share) for n, share in enumerate((0.1, 0.4, 0.9))])
    identity = replace(IDENTITY, backends=IDENTITY.backends | {"speech": "silero"})
    stricter = what_if_batches(
        iter(table.to_batches()), parse_request(["silence.min_speech_share=0.5"], identity)
    ).sources["a"]
    assert (stricter.kept_after, stricter.now_rejected) == (100, {"silence/no_speech": 100})
    laxer = what_if_batches(iter(table.to_batches()), parse_request(["silence.min_speech_share=0"], identity)).sources[
        "a"
    ]
    assert (laxer.kept_after, laxer.unknown) == (200, 100), "no later stage measured the admitted span"
    proposals = propose_thresholds(table, "a", 0.6).proposals
    assert [proposal.setting for proposal in proposals] == ["silence.min_speech_share"]


def test_a_new_threshold_is_edited_in_one_stage_file_and_one_recipe_line() -> None:
    """The Check that a stage makes names its setting, and what-if and calibration read it from the ledger."""
    grainy = [
        Check(
            stage="quality", reason="grainy", score=score, operator="<=", threshold=9.0, setting="quality.black_level"
        )
        for score in (1.0, 4.0, 7.0)
    ]
    table = decisions_to_table([make_decision("a", 100 * n, "kept", check) for n, check in enumerate(grainy)])
    thresholds = parse_request(["quality.black_level=5"], IDENTITY)
    answer = what_if_batches(iter(table.to_batches()), thresholds)
    assert answer.thresholds == {"": {"quality/grainy": 5.0}}
    assert answer.sources["a"].now_rejected == {"quality/grainy": 100}
    (proposal,) = propose_thresholds(table, "a", 0.5).proposals
    assert (proposal.check, proposal.setting, proposal.now) == ("quality/grainy", "quality.black_level", 9.0)


def test_every_stage_names_the_setting_that_its_threshold_comes_from() -> None:
    settings = load_recipe().defaults
    face = FacesScores(
        counts=(1,),
        no_face_share=0.0,
        several_share=0.0,
        face_px=99.0,
        size_ratio=1.0,
        inside=1.0,
        aspect_low=1.0,
        aspect_high=1.0,
    )
    track: Any = SimpleNamespace(lost_share=0.0, rival_share=0.0, step=0.0, blend=0.0, face_px=99.0, padding=0.0)
    checks = [*faces.decide(face, settings.faces), *tracking.decide(None, settings.track)]
    checks += tracking.decide(track, settings.track)
    checks += identity.decide(identity.Identity(jump=0.0), settings.track)
    heard = silence.Stretch(span=Span(0, 50), speech=True, level_dbfs=-20.0, speech_share=0.9)
    checks += [check for check in silence.decide(heard, settings.silence) if check.reason == "no_speech"]
    spoken = speaker.SpeakerScores(backend="lr-asd", speaking_share=0.9, other_share=0.0)
    checks += speaker.decide(spoken, settings.speaker)
    for backend in ("syncnet", "envelope", "learned"):
        heard_by = SyncScores(backend=backend, offset_frames=0, confidence=9.0, distance=1.0, length_s=4.0)
        checks += sync.decide(heard_by, settings.sync)
    blank = QualityScores(sharpness=99.0, frozen_s=0.0, black_share=0.0, bars=0.0, overlay_px=None)
    checks += [*quality.decide(blank, settings.quality), quality.decide_pooled(None, settings.quality)]
    settings = replace(
        settings,
        picture=picture.PictureConfig(store="face", min_side_px=48, min_owners_score=1.0, max_owners_second_score=0.0),
    )
    assert settings.picture is not None
    checks += picture.decide(
        picture.PictureScores(width_px=99, height_px=99, owners_score=2.0, owners_second_score=0.0), settings.picture
    )
    later = {check.setting for check in checks}
    assert later == THRESHOLD_SETTINGS
    assert not any(map(decides_spans, THRESHOLD_SETTINGS))
    assert decides_spans("silence.min_clip_s")
    for check in checks:
        assert check.setting is not None
        stage, _, name = check.setting.partition(".")
        assert stage == check.stage
        assert check.threshold == getattr(getattr(settings, stage), name)


def test_the_command_prints_the_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["what-if", str(tmp_path), "--set", "sync.min_confidence=4"]) == 2
    assert "no run" in capsys.readouterr().err


def test_spans_scored_after_rejection_are_counted_separately() -> None:
    late = Check(stage="sync", reason="offset", score=2.0, operator="<=", threshold=6.0)
    rows = [make_decision("a", 100 * n, "rejected", confidence_check(2.5), late) for n in range(3)]  # stopped at sync
    rows += [
        make_decision("a", 1000 + 100 * n, "rejected", confidence_check(2.5), late, sharpness_check(80.0))
        for n in range(4)
    ]
    rows += [
        make_decision("a", 2000 + 100 * n, "rejected", confidence_check(2.5), late, sharpness_check(10.0))
        for n in range(2)
    ]
    rows += [make_decision("a", 3000, "rejected", confidence_check(1.0), late, sharpness_check(80.0))]
    changes = what_if_batches(
        iter(decisions_to_table(rows).to_batches()), parse_request(["sync.min_confidence=2"], IDENTITY)
    ).sources["a"]
    assert (changes.unknown_spans, changes.sampled_spans, changes.sampled_pass_spans) == (3, 6, 4)
    assert (changes.unknown, changes.sampled, changes.sampled_pass) == (300, 600, 400)
    assert changes.kept_after == 0


def offset_decision(
    start: int, confidence: float | None, offset: int, rejected: bool = False, backend: str = "envelope"
) -> Decision:
    settings = load_recipe().defaults.sync
    scores = SyncScores(
        backend=backend,
        offset_frames=offset,
        confidence=confidence,
        distance=None,
        length_s=4.0,
        mouth_motion=0.1,
    )
    decision = make_decision("made", start, "rejected" if rejected else "kept", *sync.decide(scores, settings))
    return replace(decision, measurements=json.dumps({"sync": scores.record()}))


def test_a_setting_of_a_backend_that_did_not_run_changes_nothing() -> None:
    table = decisions_to_table([offset_decision(0, 2.0, 3)])
    request = parse_request(["sync.min_confidence=4", "track.nms_iou=0.5"], RUN_IDENTITY)
    answer = what_if_batches(iter(table.to_batches()), request)
    assert answer.notes == {
        "sync.min_confidence": "not measured by this backend, sync=envelope; you may mean sync.envelope_min_confidence",
        "track.nms_iou": "not measured by this backend, track=dlib",
    }
    source = answer.sources["made"]
    assert (source.kept_before, source.kept_after, source.rejected, source.unknown) == (100, 100, 0, 0)
    assert answer.thresholds == {}


def test_the_confidence_of_the_envelope_backend_decides_which_offsets_count() -> None:
    rows = [
        offset_decision(0, 2.0, 3),
        offset_decision(100, 1.0, 9),  # not confident, so the offset was no evidence
        offset_decision(200, 2.0, 9, rejected=True),
        offset_decision(300, None, 0),
    ]
    table = decisions_to_table(rows)

    def decide_again(setting: str) -> Any:
        request = parse_request([setting], RUN_IDENTITY)
        answer = what_if_batches(iter(table.to_batches()), request)
        assert list(answer.thresholds[""]) == ["sync/offset (confidence)"]
        return answer.sources["made"]

    laxer = decide_again("sync.envelope_min_confidence=0.5")
    assert (laxer.kept_after, laxer.now_rejected, laxer.unknown) == (200, {"sync/offset": 100}, 0)
    stricter = decide_again("sync.envelope_min_confidence=5")
    assert (stricter.kept_after, stricter.unknown, stricter.unknown_after) == (300, 100, {"sync": 100})
    same = decide_again("sync.envelope_min_confidence=1.5")
    assert (same.kept_after, same.rejected, same.unknown) == (300, 0, 0)


@pytest.mark.parametrize("backend", ["envelope", "learned"])
def test_an_offset_that_a_backend_cannot_tell_never_counts(backend: str) -> None:
    measured = offset_decision(0, 0.1, 9, backend=backend)
    before = offset_decision(100, 0.0, 15, backend=backend)  # as runs of earlier versions have it
    open_scores = json.loads(before.measurements)["sync"] | {"offset_frames": None}
    now = replace(offset_decision(200, 0.0, 15, backend=backend), measurements=json.dumps({"sync": open_scores}))
    identity = replace(RUN_IDENTITY, backends={**RUN_IDENTITY.backends, "sync": backend})
    table = decisions_to_table([measured, before, now])
    for limit in (0, -1):
        request = parse_request([f"sync.{backend}_min_confidence={limit}"], identity)
        source = what_if_batches(iter(table.to_batches()), request).sources["made"]
        assert (source.kept_before, source.kept_after, source.now_rejected) == (300, 200, {"sync/offset": 100})


def test_the_confidence_of_the_learned_backend_decides_which_offsets_count() -> None:
    rows = [
        offset_decision(0, 1.2, 3, backend="learned"),
        offset_decision(100, 0.9, 9, backend="learned"),  # not confident, so the offset was no evidence
        offset_decision(200, 1.2, 9, rejected=True, backend="learned"),
    ]
    identity = replace(RUN_IDENTITY, backends={**RUN_IDENTITY.backends, "sync": "learned"})
    table = decisions_to_table(rows)

    def decide_again(*settings: str) -> Any:
        return what_if_batches(iter(table.to_batches()), parse_request(settings, identity))

    laxer = decide_again("sync.learned_min_confidence=0.5").sources["made"]
    assert (laxer.kept_after, laxer.now_rejected) == (100, {"sync/offset": 100})
    stricter = decide_again("sync.learned_min_confidence=2").sources["made"]
    assert (stricter.kept_after, stricter.unknown) == (200, 100)
    other = decide_again("sync.envelope_min_confidence=0.5", "sync.min_confidence=1")
    hint = "not measured by this backend, sync=learned; you may mean sync.learned_min_confidence"
    assert other.notes == dict.fromkeys(("sync.envelope_min_confidence", "sync.min_confidence"), hint)


def test_a_stage_that_only_measures_rejects_nothing_under_any_threshold() -> None:
    settings = load_recipe(None, ["gates.quality=measure"]).values
    request = parse_request(["quality.min_sharpness=90"], replace(IDENTITY, settings=settings))
    assert request.notes == {"quality.min_sharpness": "gates.quality is measure, so this stage rejects nothing"}
