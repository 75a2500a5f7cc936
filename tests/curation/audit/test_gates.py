"""How often a gate is right is counted by spans of which the truth is known."""

from dataclasses import replace
from pathlib import Path

import pytest
from avf_curation.audit.gates import GateVerdict, judge_gates, read_labelled_spans, summarize_gates
from avf_curation.console.gate_tables import print_gates
from avf_shards.errors import UserError
from avf_shards.schema.ledger import Check, Decision, decisions_to_table
from avf_shards.timeline import Span
from rich.console import Console

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
        ("films/a.mp4,0,4,quality/watermark,bad", "rejected"),  # the name that `explain` has for it
        ("a.mp4,0,4,sync/offset,good", "not asked"),
        ("a.mp4,0,1e6,quality/watermark,good", "rejected"),
    ],
)
def test_a_span_is_judged_by_the_part_that_a_gate_rejects(tmp_path: Path, row: str, outcome: str) -> None:
    (tmp_path / "truth.csv").write_text(f"{HEAD}{row}\na.mp4,0,1,quality/watermark,good\n")
    first, _ = judge_gates(LEDGER, read_labelled_spans(tmp_path / "truth.csv"))
    assert first.outcome == outcome


def test_a_span_ends_where_its_file_does(tmp_path: Path) -> None:
    ledger = decisions_to_table([make_decision(0, 100, 90.0), make_decision(100, 200, 4.0)])
    (tmp_path / "truth.csv").write_text(f"{HEAD}a.mp4,0,9999,quality/watermark,bad\n")
    (verdict,) = judge_gates(ledger, read_labelled_spans(tmp_path / "truth.csv"))
    assert verdict.outcome == "rejected", "half of the file is, and no half of 9999 s"


def test_files_that_the_run_has_not_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = "".join(f"{name}.mp4,0,4,quality/watermark,bad\n" for name in "abcdef")
    (tmp_path / "truth.csv").write_text(HEAD + rows)
    judge_gates(LEDGER, read_labelled_spans(tmp_path / "truth.csv"))
    assert (
        "5 files are in the table and not in the run, and counted nowhere: b.mp4, c.mp4, d.mp4 and 2 more"
        in caplog.text
    )


def test_a_name_of_files_in_two_sources_is_not_guessed(tmp_path: Path) -> None:
    decision = make_decision(0, 100, 90.0)
    other = replace(decision, source="news", checks=make_decision(0, 100, 4.0).checks)
    ledger = decisions_to_table([decision, other])
    (tmp_path / "truth.csv").write_text(f"{HEAD}a.mp4,0,4,quality/watermark,bad\n")
    with pytest.raises(UserError, match=r"'a.mp4' is in several sources; write one of films/a.mp4, news/a.mp4"):
        judge_gates(ledger, read_labelled_spans(tmp_path / "truth.csv"))
    (tmp_path / "truth.csv").write_text(
        "file, start_s, stop_s, gate, truth\n"  # blanks behind commas, as people write
        "films/a.mp4, 0, 4, quality/watermark, bad\nnews/a.mp4, 0, 4, quality/watermark, bad\n"
    )
    verdicts = judge_gates(ledger, read_labelled_spans(tmp_path / "truth.csv"))
    assert [verdict.outcome for verdict in verdicts] == ["rejected", "passed"]


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
        (f"{HEAD}a.mp4,12,13,quality/watermark,bad\n", "a span begins at 12 s, and the file has 12 s"),
        (f'{HEAD}a.mp4,0,4,"{"x" * 200_000}\n', "line 2: is not readable as CSV"),
        (HEAD.replace(",", ";"), "with commas between them"),
    ],
)
def test_a_table_with_a_mistake_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "truth.csv").write_text(text)
    with pytest.raises(UserError, match=words):
        judge_gates(LEDGER, read_labelled_spans(tmp_path / "truth.csv"))


@pytest.mark.parametrize("columns", [60, 80, 100, 500])
def test_the_figures_of_a_gate_are_whole_at_each_width(columns: int, capsys: pytest.CaptureFixture[str]) -> None:
    """A table in a narrow terminal cut the names of gates and of figures."""
    verdicts = [
        GateVerdict(gate="quality/watermark_pooled", is_bad=is_bad, outcome="rejected" if rejected else "passed")
        for is_bad, rejected, count in ((True, True, 1200), (True, False, 3), (False, True, 4), (False, False, 1500))
        for _ in range(count)
    ]
    print_gates(Console(width=columns, soft_wrap=columns < 80), summarize_gates(verdicts))
    out = capsys.readouterr().out
    for part in ("quality/watermark_pooled", "1,200 of 1,203", "4 of 1,504", "not asked", "undecided"):
        assert part in out
    assert "99.7% (99.1% to 99.9%)" in out, "precision"
    assert "99.8% (99.3% to 99.9%)" in out, "recall"
    assert columns < 80 or max(map(len, out.splitlines())) <= columns
