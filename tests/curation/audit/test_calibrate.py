"""Calibration: the requested share passes at the proposed threshold, and intervals cover the truth at their level."""

import numpy as np
import pyarrow as pa
import pytest
from avf_curation.audit.calibrate import binomial_quantile, propose_thresholds
from avf_curation.audit.confidence import effective_size, wilson_interval
from avf_curation.audit.scores import scores_by_language
from avf_curation.cli.main import main
from avf_curation.console.terminal import make_console
from avf_curation.console.threshold_tables import print_calibration
from avf_shards.errors import UserError
from avf_shards.schema.ledger import Check, Decision, decisions_to_table
from avf_shards.timeline import Span
from scipy.stats import binom, binomtest
from support.runs import make_run


def simulated_ledger(seed: int, groups: int = 60, spans: int = 4, low: float = 5.0) -> pa.Table:
    """Confidences that are alike within a group; rejected below 3, some measured on past a rejection."""
    draw = np.random.default_rng(seed)
    rows = []
    for group in range(groups):
        centre = draw.normal(low, 1.0)
        for number in range(spans):
            score = float(draw.normal(centre, 0.3))
            checks = [
                Check(
                    stage="sync",
                    reason="low_confidence",
                    score=score,
                    operator=">=",
                    threshold=3.0,
                    setting="sync.min_confidence",
                )
            ]
            bad = checks[0].passed is False
            if not bad or number == 0:
                checks.append(
                    Check(
                        stage="quality",
                        reason="blurred",
                        score=99.0 if bad else float(draw.normal(50, 5)),
                        operator=">=",
                        threshold=20.0,
                        setting="quality.min_sharpness",
                    )
                )
            rejection = {"stage": "sync", "reason": "low_confidence"} if bad else {}
            span = Span(100 * number, 100 * number + 100)
            decision = Decision(
                source="a",
                video_id=f"v{group}-{number}",
                group_id=f"v{group}",
                path="p",
                span=span,
                status="rejected" if bad else "kept",
                **rejection,
            )
            rows.append(
                Decision(**{**vars(decision), "checks": tuple(checks), "language": "zh" if group % 2 else "en"})
            )
    return decisions_to_table(rows)


def test_the_requested_share_passes_at_the_proposed_threshold() -> None:
    table = simulated_ledger(0)
    proposals = {proposal.check: proposal for proposal in propose_thresholds(table, "a", 0.8).proposals}
    sync = proposals["sync/low_confidence"]
    scores = [row["checks"][0]["score"] for row in table.to_pylist()]
    assert np.mean(np.array(scores) >= sync.proposed) == pytest.approx(0.8, abs=0.01)
    assert sync.low < sync.proposed < sync.high
    assert (sync.setting, sync.now, sync.groups, sync.spans) == ("sync.min_confidence", 3.0, 60, 240)
    assert proposals["quality/blurred"].high < 90  # what was measured past a rejection never reached the stage


def test_intervals_cover_the_true_threshold() -> None:
    truth = float(
        np.mean(
            [propose_thresholds(simulated_ledger(1000 + n, 400), "a", 0.8).proposals[0].proposed for n in range(10)]
        )
    )
    inside = 0
    for seed in range(60):
        proposal = propose_thresholds(simulated_ledger(seed), "a", 0.8, ["sync/low_confidence"]).proposals[0]
        inside += proposal.low <= truth <= proposal.high
    assert inside >= 54  # of 60; 95 % or more is promised, groups counted


def test_wilson_intervals_follow_the_formula() -> None:
    for hits, count in ((0, 7), (3, 9), (80, 100), (5, 5)):
        exact = binomtest(hits, count).proportion_ci(method="wilson")
        interval = wilson_interval(hits, count)
        assert (interval.low, interval.high) == pytest.approx((exact.low, exact.high), abs=1e-6)
    assert (wilson_interval(0, 0).low, wilson_interval(0, 0).high) == (0, 1)
    assert effective_size(np.ones(9)) == 9
    assert effective_size(np.array([9.0, 1.0])) < 1.3


def test_scores_are_summarised_by_language() -> None:
    by_language = {summary.language: summary for summary in scores_by_language(simulated_ledger(0).to_batches())}
    assert set(by_language) == {"en", "zh"}
    assert by_language["zh"].spans + by_language["en"].spans == 240
    assert by_language["zh"].threshold == 3.0
    assert 0.8 < by_language["zh"].passed.value <= 1
    ledger = simulated_ledger(0)
    unknown = ledger.set_column(ledger.schema.get_field_index("language"), "language", pa.nulls(240, pa.string()))
    assert scores_by_language(unknown.to_batches()) == []


def test_invalid_requests_are_refused_with_the_reason(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    table = simulated_ledger(0)
    for keep, source, checks, message in (
        (1.5, "a", None, "--keep 1.5"),
        (0.8, "b", None, "no such source; it has a"),
        (0.8, "a", ["sync/confidence"], "checks are"),
        (0.8, "a", ["faces/no_face"], "this source has no threshold of this name"),
    ):
        with pytest.raises(UserError, match=message):
            propose_thresholds(table, source, keep, checks)
    run = make_run(tmp_path)
    assert main(["calibrate", str(run.root), "--source", "made", "--keep", "0.5"]) == 0
    assert "no proposal for made: no check of its spans has two scores that differ" in capsys.readouterr().out


def tied_ledger(scores: list[float], operator: str = ">=") -> pa.Table:
    """One span of its own group for each score."""
    rows = [
        Decision(
            source="a",
            video_id=f"v{number}",
            group_id=f"v{number}",
            path="p",
            span=Span(0, 100),
            status="kept",
            checks=(
                Check(
                    stage="quality",
                    reason="dark",
                    score=score,
                    operator=operator,
                    threshold=scores[0],
                    setting="quality.dark",
                ),
            ),
        )
        for number, score in enumerate(scores)
    ]
    return decisions_to_table(rows)


def test_no_line_is_printed_for_a_score_that_most_spans_share(capsys: pytest.CaptureFixture[str]) -> None:
    shared = tied_ledger([1.0] * 95 + [0.1 * n for n in range(5)])
    proposal = propose_thresholds(shared, "a", 0.8).proposals[0]
    assert not proposal.usable
    assert proposal.passes_proposed == pytest.approx(0.95)
    print_calibration(make_console(), propose_thresholds(shared, "a", 0.8))
    output = capsys.readouterr().out
    assert "--set" not in output
    assert "no proposal for quality/dark: many spans have the same score, so no threshold passes 80%" in output


def test_a_single_span_gives_a_sentence_and_no_empty_table(capsys: pytest.CaptureFixture[str]) -> None:
    print_calibration(make_console(), propose_thresholds(tied_ledger([1.0]), "a", 0.8))
    expected = "no proposal for a: no check of its spans has two scores that differ; curate more of it\n"
    assert capsys.readouterr().out == expected


def test_a_lowest_score_that_most_spans_share_is_no_threshold() -> None:
    """25 spans without a frozen frame, but one: a maximum of 0 seconds would reject every other recording's pause."""
    (proposal,) = propose_thresholds(tied_ledger([0.0] * 24 + [1.2], "<="), "a", 0.8).proposals
    assert (proposal.proposed, proposal.passes_proposed) == (0, pytest.approx(0.96))
    assert not proposal.usable
    # Scores in whole frames share values, too: a threshold that rejects about the requested share stands.
    frames = [float(n) for n in (0, 1, 2) for _ in range(28)] + [3.0] * 16
    (proposal,) = propose_thresholds(tied_ledger(frames, "<="), "a", 0.8).proposals
    assert (proposal.proposed, proposal.passes_proposed) == (2, pytest.approx(0.84))
    assert proposal.usable


@pytest.mark.parametrize(("operator", "base"), [(">=", 12346.0), ("<=", 12341.0)])
def test_rounding_a_threshold_rejects_no_span_that_it_should_pass(operator: str, base: float) -> None:
    scores = [base + 0.01 * n for n in range(200)]
    proposal = propose_thresholds(tied_ledger(scores, operator), "a", 0.8).proposals[0]
    printed = float(f"{proposal.proposed:.4g}")
    passing = [score >= printed if operator == ">=" else score <= printed for score in scores]
    assert sum(passing) / len(passing) >= 0.8


@pytest.mark.parametrize("draws", [1, 2, 7, 40, 3000])
@pytest.mark.parametrize("share", [0.01, 0.5, 0.8, 0.99])
def test_binomial_quantiles_are_those_of_scipy(draws: int, share: float) -> None:
    for probability in (0.025, 0.975):
        assert binomial_quantile(probability, draws, share) == binom.ppf(probability, draws, share)
