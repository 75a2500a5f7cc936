"""The audit says of each gate how many kept spans passed it and how many it could not measure."""

import io
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from avf_curation.audit.calibrate import propose_thresholds
from avf_curation.audit.explain import verdict_text
from avf_curation.audit.funnel import summarize_ledger
from avf_curation.audit.undecided import GateCount, count_gates
from avf_curation.audit.what_if import parse_request, what_if_batches
from avf_curation.cli.main import main
from avf_curation.console.audit_tables import print_audit
from avf_curation.console.threshold_tables import print_what_if
from avf_curation.recipe import load_recipe
from avf_curation.stages.checks import STAGES
from avf_curation.stages.undecided import make_undecided_check
from avf_shards.schema.ledger import Check, Decision, Status, decisions_to_table
from avf_shards.timeline import Span
from rich.console import Console
from support.curation_runs import IDENTITY
from support.runs import make_run


def make_check(stage: str, reason: str, score: float | None) -> Check:
    names = {"offset": "sync.envelope_max_offset_frames", "blurred": "quality.min_sharpness"}
    return Check(stage=stage, reason=reason, score=score, operator="<=", threshold=6.0, setting=names.get(reason))


def make_decision(number: int, offset: float | None, watermark: float | None, pooled: float | None) -> Decision:
    return Decision(
        source="made",
        video_id=f"{number}",
        group_id=f"{number}",
        path="v",
        span=Span(0, 100),
        status="kept",
        checks=(
            make_check("sync", "mouth_still", 1.0),
            make_check("sync", "offset", offset),
            make_check("quality", "watermark", watermark),
            make_check("quality", "watermark_pooled", pooled),
        ),
    )


KEPT = [
    make_decision(0, 1.0, 1.0, None),
    make_decision(1, None, None, 1.0),
    make_decision(2, None, None, None),
    make_decision(3, 2.0, None, None),
]


def reject_undecided(decision: Decision, stage: str) -> Decision:
    """Return the decision as a run makes it whose recipe rejects undecided spans of the stage."""
    before = [check for check in decision.checks if check.stage != "quality" or stage == "quality"]
    check = make_undecided_check(stage, [check for check in before if check.stage == stage])
    status: Status = "rejected" if check.passed is False else "kept"
    checks = (*before, check) if status == "rejected" else (*decision.checks, check)
    rejection = {"stage": stage, "reason": "undecided", "score": check.score} if status == "rejected" else {}
    return replace(decision, status=status, checks=checks, **rejection)


def test_kept_spans_are_counted_by_gate() -> None:
    assert count_gates(decisions_to_table(KEPT).to_batches()) == {
        "made": {
            "sync": GateCount(passed=2, not_measured=2, checks={"offset": 2}),
            "quality": GateCount(passed=2, not_measured=2, checks={"watermark": 2}),
        }
    }
    assert count_gates(decisions_to_table([]).to_batches()) == {}


def test_the_terminal_and_the_json_name_what_was_not_measured() -> None:
    summary = summarize_ledger(decisions_to_table(KEPT), IDENTITY)
    out = io.StringIO()
    print_audit(Console(file=out, width=200), summary)
    assert "  sync: 2 kept spans passed, 2 not measured (offset 2)\n" in out.getvalue()
    assert "  quality: 2 kept spans passed, 2 not measured (watermark 2)\n" in out.getvalue()
    assert summary.as_json()["gate_counts"]["made"]["sync"] == {
        "passed": 2,
        "not_measured": 2,
        "checks": {"offset": 2},
    }


def test_the_page_names_what_was_not_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(tmp_path)
    page = tmp_path / "page.html"
    assert main(["audit", str(run.root), "--html", str(page), "--json", "-"]) == 0
    counts = json.loads(capsys.readouterr().out)["gate_counts"]["made"]
    assert any(count["not_measured"] for count in counts.values())
    table = page.read_text().partition('<table class="gates">')[2].partition("</table>")[0]
    cells = re.findall(r'<td class="n">(.*?)</td>', table)
    assert len(cells) == len(STAGES)
    for stage, cell in zip(STAGES, cells, strict=True):
        count = counts.get(stage)
        not_measured = f"<br><b>{count['not_measured']} not measured</b>" if count and count["not_measured"] else ""
        expected = f"{count['passed']}{not_measured}" if count else "&ndash;"
        assert cell.partition("<br><small>")[0] == expected


def test_a_rejection_of_undecided_spans_is_told_in_words() -> None:
    rejected = reject_undecided(KEPT[1], "sync")
    assert verdict_text(rejected) == "rejected sync/undecided: 1 check could not be measured"
    summary = summarize_ledger(decisions_to_table([rejected, KEPT[0]]), IDENTITY)
    assert summary.sources["made"].reasons == {"sync/undecided": {"spans": 1, "frames": 100}}
    assert not summary.accounting_errors


@pytest.mark.parametrize(
    ("stage", "rejected", "now_rejected"),
    [("sync", 200, {"sync/undecided": 200}), ("quality", 200, {"quality/undecided": 200}), ("faces", 0, {})],
)
def test_what_if_undecided_spans_were_rejected(stage: str, rejected: int, now_rejected: dict[str, int]) -> None:
    request = parse_request([f"gates.undecided.{stage}=reject"], IDENTITY)
    answer = what_if_batches(iter(decisions_to_table(KEPT).to_batches(max_chunksize=2)), request)
    source = answer.sources["made"]
    assert (source.kept_before, source.rejected, source.kept_after) == (400, rejected, 400 - rejected)
    assert source.now_rejected == now_rejected
    out = io.StringIO()
    print_what_if(Console(file=out, width=200), answer)
    shown = f"every source: {stage}/undecided at reject" if rejected else "no span of this run reached a check"
    assert shown in out.getvalue()
    json.dumps(answer.as_json(), allow_nan=False)


def test_what_if_undecided_spans_were_kept() -> None:
    settings = load_recipe(None, ["gates.undecided.sync=reject", "gates.undecided.quality=reject"]).values
    identity = replace(IDENTITY, settings=settings)
    rows = [reject_undecided(decision, "sync") for decision in KEPT]
    answer = what_if_batches(
        iter(decisions_to_table(rows).to_batches()), parse_request(["gates.undecided.sync=keep"], identity)
    )
    source = answer.sources["made"]
    assert (source.kept_before, source.kept_after, source.unknown) == (200, 200, 200), "quality never measured them"
    rows = [reject_undecided(decision, "quality") for decision in KEPT]
    answer = what_if_batches(
        iter(decisions_to_table(rows).to_batches()), parse_request(["gates.undecided.quality=keep"], identity)
    )
    source = answer.sources["made"]
    assert (source.kept_before, source.kept_after, source.admitted) == (200, 400, 200)


def test_what_if_of_a_gate_that_does_not_decide_changes_nothing() -> None:
    identity = replace(IDENTITY, settings=load_recipe(None, ["gates.sync=skip"]).values)
    request = parse_request(["gates.undecided.sync=reject"], identity)
    assert request.notes == {"gates.undecided.sync": "gates.sync is skip"}


def test_calibration_counts_what_has_no_score_and_proposes_nothing_for_it() -> None:
    rows = [reject_undecided(decision, "sync") for decision in KEPT]
    calibration = propose_thresholds(decisions_to_table(rows), "made", 0.8)
    (proposal,) = calibration.proposals
    assert (proposal.check, proposal.spans, proposal.not_measured) == ("sync/offset", 2, 2)
