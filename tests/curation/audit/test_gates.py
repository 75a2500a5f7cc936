"""How often a gate is right is counted by spans of which the truth is known."""

from dataclasses import replace
from pathlib import Path

import pytest
from avf_curation.audit.gates import GateVerdict, judge_gates, read_labelled_spans, summarize_gates
from avf_shards.errors import UserError
from avf_shards.schema.ledger import Check, Decision, decisions_to_table
from avf_shards.timeline import Span

HEAD = "file,start_s,stop_s,gate,truth\n"


def make_decision(start: int, stop: int, overlay_px: float | None) -> Decision:
    check = Check(
        stage="quality",
        reason="watermark",
        score=overlay_px,
        operator="<=",
        threshold=30.0,
        setting="quality.max_overlay_px",
    )
    return Decision(
        source="films",
        video_id="a.mp4",
        group_id="a.mp4",
        path="a.mp4",
        span=Span(start, stop),
        status="rejected",
        input_bytes=1,
        unit=0,
        attempt=0,
        checks=(check,),
    )


LEDGER = decisions_to_table([make_decision(0, 100, 90.0), make_decision(100, 200, 4.0), make_decision(200, 300, None)])


@pytest.mark.parametrize(
    ("row", "outcome"),
    [
        ("a.mp4,0,4,quality/watermark,bad", "rejected"),
        ("a.mp4,0,8.2,quality/watermark,bad", "passed"),  # less than half of it is rejected
        ("a.mp4,3.6,8,quality/watermark,good", "passed"),  # ten frames of the part beside it
        ("a.mp4,3.5,8,quality/watermark,good", "rejected"),
        ("a.mp4,8,12,quality/watermark,bad", "undecided"),
        ("a.mp4,0,4,sync/offset,bad", "not asked"),
        ("b.mp4,0,4,quality/watermark,bad", "not asked"),
    ],
)
def test_a_span_is_judged_by_the_part_that_a_gate_rejects(tmp_path: Path, row: str, outcome: str) -> None:
    (tmp_path / "truth.csv").write_text(f"{HEAD}{row}\na.mp4,0,1,quality/watermark,good\n")
    first, _ = judge_gates(LEDGER, read_labelled_spans(tmp_path / "truth.csv"))
    assert first.outcome == outcome


def test_a_pause_without_speech_is_no_fault_of_the_gate_that_asks_for_speech(tmp_path: Path) -> None:
    def check(reason: str, score: float, threshold: float) -> Check:
        return Check(stage="silence", reason=reason, score=score, operator=">=", threshold=threshold)

    spans = [
        replace(make_decision(0, 50, None), checks=(check("silent", 0.0, 1.0), check("no_speech", 0.0, 0.25))),
        replace(make_decision(50, 150, None), checks=(check("silent", 1.0, 1.0), check("no_speech", 0.9, 0.25))),
    ]
    rows = "a.mp4,0,6,silence/no_speech,good\na.mp4,0,2,silence/silent,bad\n"
    (tmp_path / "truth.csv").write_text(f"{HEAD}{rows}")
    verdicts = judge_gates(decisions_to_table(spans), read_labelled_spans(tmp_path / "truth.csv"))
    assert [verdict.outcome for verdict in verdicts] == ["passed", "rejected"]


def test_precision_and_recall_have_wilson_intervals() -> None:
    counts = [
        (True, "rejected", 8),
        (True, "passed", 1),
        (True, "undecided", 1),
        (False, "rejected", 2),
        (False, "passed", 20),
    ]
    verdicts = [
        GateVerdict(gate="quality/watermark", is_bad=is_bad, outcome=outcome)  # type: ignore[arg-type]  # literals
        for is_bad, outcome, count in counts
        for _ in range(count)
    ]
    verdicts.append(GateVerdict(gate="scenes/dissolve", is_bad=True, outcome="not asked"))
    dissolve, watermark = summarize_gates(verdicts)
    assert (watermark.rejected_bad, watermark.bad, watermark.rejected_good, watermark.good) == (8, 10, 2, 22)
    assert watermark.undecided == 1
    assert watermark.recall.value == watermark.precision.value == 0.8
    assert (round(watermark.recall.low, 3), round(watermark.recall.high, 3)) == (0.49, 0.943)
    assert (dissolve.gate, dissolve.bad, dissolve.not_asked) == ("scenes/dissolve", 0, 1)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("file,gate\n", "lacks the columns start_s, stop_s, truth"),
        (HEAD, "has no rows"),
        (f"{HEAD}a.mp4,0,4,watermark,bad\n", "line 2: gate 'watermark' is none"),
        (f"{HEAD}a.mp4,0,4,quality/watermark,yes\n", "truth 'yes' must be good or bad"),
        (f"{HEAD}a.mp4,0,nan,quality/watermark,bad\n", "stop_s 'nan' must be a number of seconds"),
        (f"{HEAD}a.mp4,5,4,quality/watermark,bad\n", "start_s 5 must not be negative, and before stop_s 4"),
        (f"{HEAD}c.mp4,0,4,quality/watermark,bad\n", "the run has no such file"),
    ],
)
def test_a_table_with_a_mistake_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "truth.csv").write_text(text)
    with pytest.raises(UserError, match=words):
        judge_gates(LEDGER, read_labelled_spans(tmp_path / "truth.csv"))
