"""What was taken down comes back by no command: not by retry, under another name, in a new run, nor in a hybrid."""

from pathlib import Path

import pytest
from avf_curation.audit.funnel import summarize_run
from avf_curation.cli.main import main as curate_main
from avf_curation.pipeline.failures import FailureCause
from avf_curation.pipeline.input_check import input_digest
from avf_curation.pipeline.outcomes import SpanOutcome, VideoOutcomes
from avf_curation.runs.curation import RunOptions, curate
from avf_curation.sources.types import Video
from avf_curation.stages.candidate import Candidate
from avf_shards.cli.main import main as shards_main
from avf_shards.deletion.requests import deletion_request
from avf_shards.errors import FaultError, UserError
from avf_shards.format.denylist import NOTHING_DENIED, Denylist, read_denylist
from avf_shards.format.run_folder import RunFolder
from avf_shards.packing.pack import pack_shards, select_from_run
from avf_shards.packing.selection import Selection
from avf_shards.packing.verify import verify_shards
from avf_shards.schema.clip_key import make_clip_key, make_video_prefix
from avf_shards.timeline import Span
from support.crash_points import crash_after_operation, interrupt_after_operation
from support.curation_runs import EMBEDDED, kept_span, make_recipe, stub_curate
from support.runs import make_inputs
from support.stages import CurateVideo, single_step
from support.takedowns import take_down

RECIPE = ("plan.unit_videos=2", "silence.speech_backend=none")


def curate_part(video: Video, root: Path, settings: object, tools: object) -> VideoOutcomes:
    """Curate like `stub_curate`, but fail in the middle of each video."""
    failure = FailureCause(stage="scenes", error="damaged", message="damaged")
    failed = SpanOutcome(candidate=Candidate(span=Span(50, 80)), failure=failure)
    outcomes = (kept_span(0, 50, video.video_id), failed, kept_span(80, 140, video.video_id))
    return VideoOutcomes(video=video, outcomes=outcomes, sha256=input_digest(root / video.path, None))


def curate_mended(video: Video, root: Path, settings: object, tools: object) -> VideoOutcomes:
    """Curate the video of `curate_part` after its repair: the spans have other limits."""
    outcomes = tuple(kept_span(*limits, video.video_id) for limits in ((0, 40), (40, 78), (78, 140)))
    return VideoOutcomes(video=video, outcomes=outcomes, sha256=input_digest(root / video.path, None))


def run_source(
    folder: Path, name: str, curate_video: CurateVideo = stub_curate, deny: Denylist = NOTHING_DENIED
) -> RunFolder:
    options = RunOptions(engine="inline", stages=single_step(curate_video), deny=deny)
    return curate(make_recipe(*RECIPE), EMBEDDED, {"made": folder / "in"}, folder / name, options)


def kept_spans(run: RunFolder, video: str) -> list[tuple[int, int]]:
    rows = [row for row in run.ledger().to_pylist() if row["video_id"] == video and row["status"] == "kept"]
    return [(row["start_frame"], row["stop_frame"]) for row in rows]


def reasons(run: RunFolder, video: str) -> set[str]:
    return {f"{row['stage']}/{row['reason']}" for row in run.ledger().to_pylist() if row["video_id"] == video}


def test_a_span_taken_down_by_key_stays_away_after_a_retry_whatever_its_limits(tmp_path: Path) -> None:
    make_inputs(tmp_path / "in", 3)
    run = run_source(tmp_path, "run", curate_part)
    key = make_clip_key("made", "001.mp4", Span(0, 50), 0)
    assert take_down(run, deletion_request(listed=[f"key {key}"])) == (key,)
    options = RunOptions(engine="inline", stages=single_step(curate_mended), retry_failed=True)
    curate(make_recipe(*RECIPE), EMBEDDED, {"made": tmp_path / "in"}, run.root, options)
    assert kept_spans(run, "000.mp4") == [(0, 40), (40, 78), (78, 140)], "the retry decided again"
    assert kept_spans(run, "001.mp4") == [(78, 140)]
    assert "takedown/denied" in reasons(run, "001.mp4")
    assert not summarize_run(run).accounting_errors
    pack_shards(run, tmp_path / "shards", Selection())
    assert verify_shards(tmp_path / "shards") == []


def test_a_span_of_an_earlier_attempt_is_erased_where_a_retry_moved_its_limits(tmp_path: Path) -> None:
    make_inputs(tmp_path / "in", 1)
    run = run_source(tmp_path, "run", curate_part)
    options = RunOptions(engine="inline", stages=single_step(curate_mended), retry_failed=True)
    curate(make_recipe(*RECIPE), EMBEDDED, {"made": tmp_path / "in"}, run.root, options)
    newest = make_clip_key("made", "000.mp4", Span(40, 78), 0)
    older = make_clip_key("made", "000.mp4", Span(0, 50), 0)
    assert set(take_down(run, deletion_request(listed=[f"key {newest}"]))) == {newest, older}


def test_a_twin_under_another_name_goes_too_and_is_never_packed(tmp_path: Path) -> None:
    source = make_inputs(tmp_path / "in", 3)
    (source / "twin.mp4").write_bytes((source / "001.mp4").read_bytes())
    run = run_source(tmp_path, "run")
    erased = take_down(run, deletion_request(["made/001.mp4"]))
    assert len(erased) == 4
    assert any(key.startswith(make_video_prefix("made", "twin.mp4")) for key in erased)
    assert kept_spans(run, "twin.mp4") == []
    _, selection = select_from_run(run, Selection())
    assert {clip[0].rpartition("-")[0] for clip in selection.clips["made"]} == {
        make_clip_key("made", name, span, 0).rpartition("-")[0]
        for name in ("000.mp4", "002.mp4")
        for span in (Span(0, 50), Span(80, 140))
    }


def test_only_the_same_span_of_a_twin_goes_with_a_key(tmp_path: Path) -> None:
    source = make_inputs(tmp_path / "in", 2)
    (source / "twin.mp4").write_bytes((source / "001.mp4").read_bytes())
    run = run_source(tmp_path, "run")
    take_down(run, deletion_request(listed=[f"key {make_clip_key('made', '001.mp4', Span(0, 50), 0)}"]))
    assert kept_spans(run, "001.mp4") == kept_spans(run, "twin.mp4") == [(80, 140)]


def test_pack_leaves_out_what_a_takedown_that_was_killed_had_only_denied(tmp_path: Path) -> None:
    source = make_inputs(tmp_path / "in", 3)
    (source / "twin.mp4").write_bytes((source / "001.mp4").read_bytes())
    run = run_source(tmp_path, "run")
    run.deny(deletion_request(["made/001.mp4"]).denylist())
    result = pack_shards(run, tmp_path / "shards", Selection())
    assert (result.sources["made"].denied, result.sources["made"].selected) == (4, 4)
    assert verify_shards(tmp_path / "shards") == []


def test_a_pack_goes_on_after_an_entry_that_forbids_nothing_of_it(tmp_path: Path) -> None:
    make_inputs(tmp_path / "in", 3)
    run, shards = run_source(tmp_path, "run"), tmp_path / "shards"
    with crash_after_operation(30) as crash:
        pack_shards(run, shards, Selection(clips_per_shard=1))
    assert crash.happened
    run.deny(deletion_request(["made/nobody.mp4"]).denylist())
    for _ in range(2):
        pack_shards(run, shards, Selection(clips_per_shard=1))
        assert verify_shards(shards) == []
    assert read_denylist(shards) == run.denylist()


def test_a_pack_that_holds_what_was_forbidden_since_is_refused_with_the_remedy(tmp_path: Path) -> None:
    make_inputs(tmp_path / "in", 3)
    run, shards = run_source(tmp_path, "run"), tmp_path / "shards"
    pack_shards(run, shards, Selection())
    deny = deletion_request(["made/001.mp4"]).denylist()
    with pytest.raises(UserError, match=r"the denylist forbade 2 spans.* avf-shards delete"):
        pack_shards(run, shards, Selection(), deny=deny)
    take_down(run, deletion_request(["made/001.mp4"]))
    with pytest.raises(UserError, match="before a retry or a takedown in the run"):
        pack_shards(run, shards, Selection())


def test_an_entry_that_matches_nothing_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    make_inputs(tmp_path / "in", 2)
    run = run_source(tmp_path, "run")
    (tmp_path / "list").write_text(f"video made/001.mp4\nvideo made/0001.mp4\nsha256 {'0' * 64}\n")
    deny = ["--deny", str(tmp_path / "list")]
    assert shards_main(["pack", str(run.root), "--dry-run", *deny]) == 0
    assert curate_main(["retry", str(run.root), "--engine", "inline", *deny]) == 0
    assert curate_main(["plan", "--source", f"made={tmp_path / 'in'}", "--out", str(tmp_path / "new"), *deny]) == 0
    lines = [record.getMessage() for record in caplog.records if "--deny" in record.getMessage()]
    assert sum("video made/0001.mp4" in line for line in lines) == 3
    assert sum(f"sha256 {'0' * 64}" in line for line in lines) == 2, "a plan knows no digests"
    assert not any("made/001.mp4" in line for line in lines)


def test_an_entry_can_be_added_while_the_holder_of_the_lock_clears_its_temporary_folder(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    happened, number = True, 0
    while happened:  # at each file operation of the other process in turn
        run.temporary("unit")
        with interrupt_after_operation(number, run.clear_temporary) as pause:
            run.deny(deletion_request([f"made/{number}.mp4"]).denylist())
        happened, number = pause.status is not None, number + 1
    assert len(run.denylist().denials) == number >= 8


def test_an_addition_that_is_killed_leaves_nothing_behind(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    happened, number = True, 0
    while happened:
        with crash_after_operation(number) as crash:
            run.deny(deletion_request([f"made/{number}.mp4"]).denylist())
        happened, number = crash.happened, number + 1
        run.clear_temporary()  # as the next command does
        files = {path.name.partition("-")[0] for path in tmp_path.rglob("*") if path.is_file()}
        assert files <= {"denylist"}
    assert number >= 10


def test_a_new_run_keeps_nothing_of_what_deny_names_nor_of_its_twin(tmp_path: Path) -> None:
    source = make_inputs(tmp_path / "in", 3)
    (source / "twin.mp4").write_bytes((source / "001.mp4").read_bytes())
    deny = deletion_request(["made/001.mp4"]).denylist()
    run = run_source(tmp_path, "run", deny=deny)
    assert reasons(run, "001.mp4") == {"takedown/denied"}
    assert kept_spans(run, "twin.mp4") == [], "known by its bytes at the end of the run"
    assert kept_spans(run, "000.mp4")
    assert not summarize_run(run).accounting_errors
    assert run_source(tmp_path, "run").ledger().equals(run.ledger()), "a later start without --deny changes nothing"


def test_a_takedown_of_one_run_is_honoured_by_another(tmp_path: Path) -> None:
    source = make_inputs(tmp_path / "in", 3)
    first = run_source(tmp_path, "first")
    take_down(first, deletion_request(["made/001.mp4"]))
    (source / "001.mp4").rename(source / "renamed.mp4")
    second = run_source(tmp_path, "second", deny=first.denylist())
    assert reasons(second, "renamed.mp4") == {"takedown/denied"}


def test_a_video_that_never_gave_a_clip_stays_forbidden(tmp_path: Path) -> None:
    make_inputs(tmp_path / "in", 2)

    def fail(video: Video, root: Path, settings: object, tools: object) -> VideoOutcomes:
        failed = SpanOutcome(
            candidate=Candidate(span=Span(0, 0)), failure=FailureCause(stage="open", error="missing", message="gone")
        )
        return VideoOutcomes(video=video, outcomes=(failed,))

    def curate_or_fail(video: Video, root: Path, settings: object, tools: object) -> VideoOutcomes:
        return (fail if video.path == "001.mp4" else stub_curate)(video, root, settings, tools)

    run = run_source(tmp_path, "run", curate_or_fail)
    assert take_down(run, deletion_request(["made/001.mp4"])) == ()
    options = RunOptions(engine="inline", stages=single_step(stub_curate), retry_failed=True)
    curate(make_recipe(*RECIPE), EMBEDDED, {"made": tmp_path / "in"}, run.root, options)
    assert kept_spans(run, "001.mp4") == []
    assert not summarize_run(run).accounting_errors


def test_a_damaged_denylist_stops_every_command_and_is_never_empty(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_inputs(tmp_path / "in", 2)
    run = run_source(tmp_path, "run")
    take_down(run, deletion_request(["made/001.mp4"]))
    path = min(run.root.glob("denylist-*"))
    path.write_bytes(path.read_bytes().replace(b"video", b"voice").replace(b"content", b"context"))
    with pytest.raises(FaultError, match="damaged"):
        run_source(tmp_path, "run")
    assert shards_main(["pack", str(run.root), "--out", str(tmp_path / "shards")]) != 0
    assert shards_main(["pack", str(run.root), "--dry-run"]) != 0
    assert curate_main(["retry", str(run.root), "--engine", "inline"]) != 0
    assert capsys.readouterr().err.count(path.name) >= 3


def test_audit_names_the_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_inputs(tmp_path / "in", 2)
    run = run_source(tmp_path, "run", deny=deletion_request(["made/001.mp4"]).denylist())
    assert curate_main(["audit", str(run.root)]) == 0
    assert "takedown/denied" in capsys.readouterr().out
