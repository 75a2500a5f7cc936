"""A takedown in a run rejects clips in the ledger and erases their bytes; packing and retry keep them out."""

import json
import shutil
from pathlib import Path

import pytest
from avf_curation.audit.funnel import funnel_steps, summarize_run
from avf_curation.cli.main import main as curate_main
from avf_curation.runs.frozen_plan import read_plan
from avf_curation.runs.planning import plan_retry
from avf_shards.cli.main import main
from avf_shards.deletion.requests import deletion_request
from avf_shards.errors import UserError
from avf_shards.format.run_folder import PART, RunFolder
from avf_shards.packing.pack import pack_shards
from avf_shards.packing.selection import Selection
from avf_shards.packing.verify import verify_shards
from avf_shards.schema.ledger import table_to_decisions
from support.clips import make_flashing_shards
from support.crash_points import by_strides, crash_after_operation
from support.curation_runs import make_recipe
from support.takedowns import delete_clips, take_down

GONE = deletion_request(["a/003.mp4", "b/001.mp4"])


@pytest.fixture(scope="module")
def finished_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("takedown")
    make_flashing_shards(folder, {"a": 6, "b": 3})
    return folder


@pytest.fixture
def folder(finished_runs: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished_runs, tmp_path / "all"))


def verdicts(run: RunFolder) -> dict[str, str]:
    return {f"{d.source}/{d.video_id}": f"{d.status} {d.stage or ''}".strip() for d in table_to_decisions(run.ledger())}


def payloads(run: RunFolder) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(run.root.rglob(PART)))


def test_a_takedown_rejects_in_the_ledger_erases_bytes_and_is_not_packed(folder: Path) -> None:
    run = RunFolder(folder / "run")
    before, deleted = verdicts(run), {"a/003.mp4", "b/001.mp4"}
    erased = take_down(run, GONE)
    assert len(erased) == 2
    after = verdicts(run)
    assert {video for video in after if after[video] != before[video]} == deleted
    assert {after[video] for video in deleted} == {"rejected takedown"}
    for decision in table_to_decisions(run.ledger()):
        if f"{decision.source}/{decision.video_id}" in deleted:
            assert (decision.clips, decision.measurements, len(decision.checks)) == ((), "{}", 1)
    result = summarize_run(run)
    assert not result.accounting_errors
    for source in result.sources.values():
        assert funnel_steps(source)[-1][0] == "takedown"
        assert funnel_steps(source)[-1][1] == source.kept_frames
    pack_shards(run, folder / "again", Selection(clips_per_shard=4))
    assert verify_shards(folder / "again") == []
    packed = b"".join(path.read_bytes() for path in (folder / "again").iterdir())
    assert not any(key.encode() in packed for key in erased)
    assert take_down(run, GONE) == (), "once is enough"
    assert plan_retry(run, make_recipe(), {"a": folder, "b": folder}) is None
    assert read_plan(run, 1).table.num_rows == 2


def test_a_deleted_clip_is_in_no_file_of_the_run(folder: Path) -> None:
    run = RunFolder(folder / "run")
    (stored,) = [path for path in run.root.rglob(PART) if b"a-" in path.read_bytes()][:1]
    assert b"ftyp" in stored.read_bytes()
    take_down(run, deletion_request([f"a/{n:03d}.mp4" for n in range(6)] + [f"b/{n:03d}.mp4" for n in range(3)]))
    assert b"ftyp" not in payloads(run), "no mp4 is left"
    assert b"fLaC" not in payloads(run), "and no sound"
    assert set(verdicts(run).values()) == {"rejected takedown"}


def test_other_commands_read_a_run_with_a_takedown(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    take_down(RunFolder(folder / "run"), GONE)
    for command in (
        ["audit", str(folder / "run")],
        ["status", str(folder / "run")],
        ["explain", str(folder / "run"), "a/003.mp4"],
        ["what-if", str(folder / "run"), "--set", "quality.max_overlay_px=1"],
    ):
        assert curate_main(command) == 0, capsys.readouterr().err
    message = capsys.readouterr().out
    assert "takedown/deleted" in message


@by_strides
def test_a_takedown_killed_after_any_file_operation_can_be_repeated(
    stride: int, finished_runs: Path, tmp_path: Path
) -> None:
    number = 0
    while True:
        folder = Path(shutil.copytree(finished_runs, tmp_path / str(number)))
        run = RunFolder(folder / "run")
        with crash_after_operation(number) as crash:
            take_down(run, GONE)
        take_down(run, GONE)
        deleted = [name for name, message in verdicts(run).items() if message == "rejected takedown"]
        assert deleted == ["a/003.mp4", "b/001.mp4"]
        assert run.attempts() == [0, 1]
        assert payloads(run).count(b"ftyp") == 7
        shutil.rmtree(folder)
        if not crash.happened:
            break
        number += stride
    assert number > 10


def test_one_command_deletes_from_run_and_shards(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["delete", str(folder / "shards"), "--video", "a/003.mp4", "--run", str(folder / "run"), "--json", "-"]
    assert main(command) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["keys"] == report["erased_in_run"]
    assert main([*command[:-2], "--reason", "again"]) == 0
    assert "0 clips erased" in capsys.readouterr().out


def test_a_takedown_of_an_unfinished_run_is_refused(folder: Path) -> None:
    run = RunFolder(folder / "run")
    shutil.rmtree(run.attempt_folder(0) / "ledger")
    with pytest.raises(UserError, match="the run is not finished"):
        take_down(run, GONE)
    delete_clips(folder / "shards", GONE)


def test_a_digest_in_capitals_names_the_same_file() -> None:
    digest = "4f" * 32
    names = [deletion_request(listed=[f"sha256 {word}"]).denylist().digest() for word in (digest, digest.upper())]
    assert names[0] == names[1]
