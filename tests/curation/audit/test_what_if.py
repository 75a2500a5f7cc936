"""what-if: stricter is exact, laxer says what nobody knows, and what is no threshold is refused with the reason."""

import ast
from pathlib import Path
from typing import Any

import pytest
from avf_curation.audit.what_if import requested_thresholds, what_if_batches
from avf_curation.cli.main import main
from avf_curation.recipe import load_recipe
from avf_curation.stages import faces, quality, sync, tracking
from avf_curation.stages.checks import DECIDES
from avf_shards.errors import UserError
from avf_shards.schema.ledger import Check, Decision, Status, decisions_to_table
from avf_shards.timeline import Span

IDENTITY = {"settings": load_recipe().values, "sources": ["a", "b"], "backends": {"sync": "syncnet"}}


def decision(source: str, start: int, status: Status, *checks: Check) -> Decision:
    last = next((check for check in checks if check.passed is False), None)
    told: dict[str, Any] = {} if last is None else {"stage": last.stage, "reason": last.reason}
    return Decision(
        source=source,
        video_id="v",
        group_id="v",
        path="v",
        span=Span(start, start + 100),
        status=status,
        checks=checks,
        **told,
    )


def sharp(score: float | None) -> Check:
    return Check(stage="quality", reason="blurred", score=score, operator=">=", threshold=50.0)


def heard(score: float) -> Check:
    return Check(stage="sync", reason="low_confidence", score=score, operator=">=", threshold=3.0)


LEDGER = decisions_to_table(
    [
        decision("a", 0, "kept", heard(3.5), sharp(80.0)),
        decision("a", 100, "kept", heard(6.0), sharp(60.0)),
        decision("a", 200, "kept", heard(6.0), sharp(None)),
        decision("a", 300, "rejected", heard(2.5)),
        decision("a", 400, "rejected", heard(1.0)),
        decision("a", 500, "failed"),
        decision("b", 0, "kept", heard(3.5), sharp(80.0)),
        decision(
            "b",
            100,
            "rejected",
            heard(9.0),
            sharp(80.0),
            Check(stage="quality", reason="watermark_pooled", score=9.0, operator="<=", threshold=5.0),
        ),
    ]
)


def ask(*settings: str, rows: int = 1000) -> dict[str, Any]:
    batches = iter(LEDGER.to_batches(max_chunksize=rows))
    return what_if_batches(batches, requested_thresholds(settings, IDENTITY)).as_json()["sources"]


@pytest.mark.parametrize("rows", [1, 3, 1000])
def test_stricter_is_exact(rows: int) -> None:
    found = ask("sync.min_confidence=4", rows=rows)
    assert found["a"]["kept_before"] == 300
    assert found["a"]["kept_after"] == 200
    assert found["a"]["now_rejected"] == {"sync/low_confidence": 100}
    assert found["b"]["kept_after"] == 0
    assert found["a"]["unknown"] == found["b"]["unknown"] == 0


def test_a_score_that_could_not_be_measured_is_no_rejection() -> None:
    assert ask("quality.min_sharpness=70")["a"]["kept_after"] == 200


def test_laxer_is_unknown_where_later_stages_never_saw_the_span() -> None:
    found = ask("sync.min_confidence=2")["a"]
    assert (found["kept_after"], found["unknown"], found["unknown_after"]) == (300, 100, {"sync": 100})


def test_after_the_last_check_nothing_is_unknown() -> None:
    found = ask("quality.max_overlay_px=10")["b"]
    assert (found["kept_after"], found["admitted"], found["unknown"]) == (200, 100, 0)


def test_two_thresholds_and_one_source() -> None:
    found = ask("sync.min_confidence=4", "sources.a.quality.min_sharpness=70")
    assert found["a"]["kept_after"] == 100, "only the span whose sharpness nobody could tell"
    assert sum(found["a"]["now_rejected"].values()) == 200
    assert found["b"]["kept_after"] == 0


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("silence.top_db=20", "changes which spans there are"),
        ("scenes.min_shot_s=2", "changes which spans there are"),
        ("track.smooth_s=1", "changes what is measured"),
        ("sync.envelope_min_motion=1", "measured sync by syncnet"),
        ("sync.min_confidenc=4", "did you mean 'min_confidence'"),
        ("sources.c.sync.min_confidence=4", "has no source 'c'; it has a, b"),
        ("sync.min_confidence=much", "expected a number"),
    ],
)
def test_what_is_no_threshold_is_refused(setting: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        ask(setting)
    with pytest.raises(UserError, match="--set is missing"):
        ask()


def test_the_table_of_thresholds_is_the_stages_own() -> None:
    """Every check of the four stages takes its threshold from the setting that DECIDES names, and none is left out."""
    settings = load_recipe().defaults
    named = {check for checks in DECIDES.values() for check in checks}
    told = {}
    for setting, checks in DECIDES.items():
        stage, _, field = setting.partition(".")
        for check in checks:
            told.setdefault(check, set()).add(float(getattr(getattr(settings, stage), field)))
    modules = {"faces": faces, "track": tracking, "sync": sync, "quality": quality}
    written = set()
    for stage, module in modules.items():
        source = Path(str(module.__file__)).read_text()
        calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
        for call in calls:
            if ast.unparse(call.func) != "Check":
                continue
            values = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
            reason = ast.literal_eval(values["reason"])
            field = values["threshold"].split("config.")[1].split(")")[0]
            written.add(f"{stage}/{reason}")
            assert f"{stage}/{reason}" in DECIDES[f"{stage}.{field}"]
    assert written == named


def test_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["what-if", str(tmp_path), "--set", "sync.min_confidence=4"]) == 2
    assert "no run" in capsys.readouterr().err


def test_what_was_measured_on_is_known_and_counted_apart() -> None:
    late = Check(stage="sync", reason="offset", score=2.0, operator="<=", threshold=6.0)
    rows = [decision("a", 100 * n, "rejected", heard(2.5), late) for n in range(3)]  # stopped at sync
    rows += [decision("a", 1000 + 100 * n, "rejected", heard(2.5), late, sharp(80.0)) for n in range(4)]
    rows += [decision("a", 2000 + 100 * n, "rejected", heard(2.5), late, sharp(10.0)) for n in range(2)]
    rows += [decision("a", 3000, "rejected", heard(1.0), late, sharp(80.0))]
    found = what_if_batches(
        iter(decisions_to_table(rows).to_batches()), requested_thresholds(["sync.min_confidence=2"], IDENTITY)
    ).sources["a"]
    assert (found.unknown_spans, found.sampled_spans, found.sampled_pass_spans) == (3, 6, 4)
    assert (found.unknown, found.sampled, found.sampled_pass) == (300, 600, 400)
    assert found.kept_after == 0
