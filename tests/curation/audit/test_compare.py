"""The comparison of two runs counts every frame whose verdict changed, and separates chance from change."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from avf_curation.audit.compare import compare_ledgers, holm
from avf_curation.cli.main import main
from avf_curation.runs.curation import RunOptions, curate
from avf_shards.schema.ledger import Decision, decisions_to_table
from avf_shards.timeline import Span
from support.curation_runs import EMBEDDED, make_recipe, stub_curate
from support.runs import make_inputs, make_run
from support.stages import single_step


def video_decisions(source: str, name: str, *spans: tuple[int, int, str], digest: str = "same") -> list[Decision]:
    rows = []
    for start, stop, outcome in spans:
        if outcome == "kept":
            rows.append(
                Decision(
                    source=source,
                    video_id=name,
                    group_id=name,
                    path=name,
                    span=Span(start, stop),
                    status="kept",
                    input_sha256=digest,
                )
            )
        else:
            rejection = {"stage": outcome.split("/")[0], "reason": outcome.split("/")[1]}
            decision = Decision(
                source=source,
                video_id=name,
                group_id=name,
                path=name,
                span=Span(start, stop),
                status="rejected",
                input_sha256=digest,
                **rejection,
            )
            rows.append(decision)
    return rows


def test_every_frame_whose_verdict_changed_is_counted() -> None:
    before = video_decisions("a", "v", (0, 50, "kept"), (50, 80, "faces/no_face"), (80, 140, "kept"))
    after = video_decisions("a", "v", (0, 20, "sync/offset"), (20, 60, "kept"), (60, 140, "faces/no_face"))
    (comparison,) = compare_ledgers(decisions_to_table(before), decisions_to_table(after)).sources
    moved = {(move.before, move.after): move.frames for move in comparison.moved}
    assert moved == {("kept", "sync/offset"): 20, ("faces/no_face", "kept"): 10, ("kept", "faces/no_face"): 60}
    assert (comparison.common, comparison.gained, comparison.lost) == (1, 0, 1)
    assert comparison.sign_p == 1.0  # one video could be chance
    assert compare_ledgers(decisions_to_table(before), decisions_to_table(before)).sources[0].moved == ()


def test_a_loss_over_many_videos_is_significant() -> None:
    before = [row for n in range(12) for row in video_decisions("a", f"v{n}", (0, 50, "kept"))]
    after = [row for n in range(12) for row in video_decisions("a", f"v{n}", (0, 10, "sync/offset"), (10, 50, "kept"))]
    (comparison,) = compare_ledgers(decisions_to_table(before), decisions_to_table(after)).sources
    assert (comparison.gained, comparison.lost) == (0, 12)
    assert comparison.sign_p < 0.01


def simulated_ledger(seed: int, share: float, groups: int = 80) -> pa.Table:
    draw = np.random.default_rng(seed)
    rows: list[Decision] = []
    for n in range(groups):
        bad = int(np.clip(draw.normal(share, 0.2), 0, 1) * 100)
        rows += video_decisions(
            "a", f"{seed}-{n}", *[s for s in ((0, bad, "faces/no_face"), (bad, 100, "kept")) if s[1] > s[0]]
        )
    return decisions_to_table(rows)


def test_significance_separates_chance_from_change() -> None:
    chance = [
        compare_ledgers(simulated_ledger(2 * n, 0.4), simulated_ledger(2 * n + 1, 0.4)).sources[0] for n in range(40)
    ]
    assert sum(any(shift.beyond_chance for shift in comparison.shifts) for comparison in chance) <= 5
    changed = [
        compare_ledgers(simulated_ledger(2 * n, 0.3), simulated_ledger(2 * n + 1, 0.5)).sources[0] for n in range(10)
    ]
    assert all(
        {shift.outcome for shift in comparison.shifts if shift.beyond_chance} == {"kept", "faces/no_face"}
        for comparison in changed
    )


def test_holm_correction_follows_its_formula() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def test_the_command_compares_two_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = make_inputs(tmp_path / "in", 3)
    runs = [
        curate(
            make_recipe(setting),
            EMBEDDED,
            {"made": source},
            tmp_path / setting,
            RunOptions(engine="inline", stages=single_step(stub_curate)),
        )
        for setting in ("sync.min_confidence=3", "sync.min_confidence=4")
    ]
    words = ["audit", *(str(run.root) for run in runs)]
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert "3 with the same bytes, each keeps as much as before" in shown
    assert "backends" not in shown
    assert main([*words, "--json", "-"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["sources"][0]["common"], answer["backends"]) == (3, [])
    assert main(["audit", str(runs[0].root), str(tmp_path / "none")]) == 2


def test_the_command_says_that_two_runs_were_measured_with_different_backends(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = make_inputs(tmp_path / "in", 1)
    backends = {"old": EMBEDDED, "new": replace(EMBEDDED, sync="learned", speech="silero")}
    for name, choice in backends.items():
        options = RunOptions(engine="inline", stages=single_step(stub_curate))
        curate(make_recipe(), choice, {"made": source}, tmp_path / name, options)
    words = ["audit", *(str(tmp_path / name) for name in backends)]
    assert main(words) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "backends" in line]
    assert line.endswith("can change verdicts: speech none -> silero, sync envelope -> learned")
    assert main([*words, "--json", "-"]) == 0
    changes = json.loads(capsys.readouterr().out)["backends"]
    assert changes[1] == {"stage": "sync", "before": "envelope", "after": "learned"}


def test_the_command_compares_two_dates_of_one_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(tmp_path, videos=8, unit_videos=2)
    log = run.log_folder / "units.jsonl"
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    day = 86_400
    for number, entry in enumerate(entries):
        entry["time"] = 1_790_000_000 + number * day  # 2026-09-21 and the days after
    log.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    assert main(["audit", f"{run.root}@2026-09-22", f"{run.root}@2026-09-30", "--json", "-"]) == 0
    (comparison,) = json.loads(capsys.readouterr().out)["sources"]
    assert (comparison["videos_before"], comparison["videos_after"], comparison["common"]) == (4, 4, 0)
    assert [shift["p"] for shift in comparison["shifts"]] == [1.0, 1.0]
    for words, message in (
        ([str(run.root), str(run.root)], "name two dates"),
        ([f"{run.root}@monday", str(run.root)], "is not a date"),
        ([f"{run.root}@2020-01-01", str(run.root)], "nothing was decided"),
    ):
        assert main(["audit", *words]) == 2
        assert message in capsys.readouterr().err
