"""Two writers of one folder, the first paused after each of its file operations: nothing is lost, one of them wins."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from avf_shards.deletion.requests import deletion_request
from avf_shards.errors import UserError
from avf_shards.format.generations import list_generations, open_for_writing
from avf_shards.format.run_folder import PART, RunFolder
from avf_shards.format.shard_manifest import read_manifest
from avf_shards.packing.pack import pack_shards
from avf_shards.packing.selection import Selection
from avf_shards.packing.verify import verify_shards
from avf_shards.system import run_lock
from support.clips import make_flashing_shards
from support.crash_points import by_strides, exit_status_in_child, interrupt_after_operation
from support.shard_folders import read_clips
from support.takedowns import delete_clips, take_down

FIRST, SECOND = deletion_request(["a/003.mp4"]), deletion_request(["a/001.mp4", "b/001.mp4"])
TAKEN_OVER = "another process (took over|changed it|began)"


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a run and its shards."""
    folder = tmp_path_factory.mktemp("writers")
    make_flashing_shards(folder, {"a": 4, "b": 2}, clips_per_shard=3)
    return folder


def after_expiry(work: Callable[[], object]) -> Callable[[], None]:
    """Return `work` for a process to which the marker of every other process has expired."""

    def run() -> None:
        run_lock._is_alive = lambda *_: (False, True)  # dead for certain: no watching
        work()

    return run


def is_refused(work: Callable[[], object], message: str) -> bool:
    try:
        work()
    except UserError as error:
        text = str(error)
    else:
        return False
    assert re.search(message, text)
    return True


@by_strides
def test_a_second_takedown_is_refused_while_the_first_is_paused_anywhere(
    stride: int, packed: Path, tmp_path: Path
) -> None:
    number, before = 0, read_clips(packed / "shards")
    while True:
        shards = Path(shutil.copytree(packed / "shards", tmp_path / str(number)))
        with interrupt_after_operation(number, lambda shards=shards: delete_clips(shards, SECOND)) as pause:
            report = delete_clips(shards, FIRST)
        if pause.status is None:
            break
        assert pause.status == 1, f"the second was not refused after {pause.operation}"
        assert verify_shards(shards) == [], pause.operation
        assert read_clips(shards) == {key: clip for key, clip in before.items() if key not in report.keys}
        shutil.rmtree(shards)
        number += stride
    assert number > 20


@by_strides
def test_a_takedown_whose_marker_expired_destroys_nothing_of_its_successor(
    stride: int, packed: Path, tmp_path: Path
) -> None:
    number, before = 0, read_clips(packed / "shards")
    while True:
        shards = Path(shutil.copytree(packed / "shards", tmp_path / str(number)))
        second = after_expiry(lambda shards=shards: delete_clips(shards, SECOND))
        with interrupt_after_operation(number, second) as pause:
            refused = is_refused(lambda shards=shards: delete_clips(shards, FIRST), TAKEN_OVER)
        if pause.status is None:
            break
        assert pause.status == 0, pause.operation
        tombstones = {tombstone.key for tombstone in read_manifest(shards).tombstones}
        assert len(tombstones) in (2, 3), "the second's, and the first's where it had committed before the pause"
        assert refused or len(tombstones) == 3, f"the first lost its deletion after {pause.operation}, and was content"
        assert read_clips(shards) == {key: clip for key, clip in before.items() if key not in tombstones}
        delete_clips(shards, FIRST)
        assert verify_shards(shards) == [], pause.operation
        assert len(read_manifest(shards).tombstones) == 3
        shutil.rmtree(shards)
        number += stride
    assert number > 20


def test_a_writer_whose_number_a_third_process_got_touches_nothing_of_it(packed: Path, tmp_path: Path) -> None:
    shards = Path(shutil.copytree(packed / "shards", tmp_path / "shards"))
    victim = shards / "victim"
    victim.write_bytes(b"")
    third_context = open_for_writing(shards)  # outside of the function, whose end would release the lock

    def third_is_at_work() -> None:
        after_expiry(lambda: delete_clips(shards, SECOND))()  # the second, to its end
        third = third_context.__enter__()
        assert third.lock.marker == shards / "writer-000001.json"
        (third.temporary / "part").write_bytes(b"of the third")

    with open_for_writing(shards) as first:
        assert exit_status_in_child(third_is_at_work) == 0
        with pytest.raises(UserError, match="another process took over"):
            first.remove(victim)
    assert victim.is_file()
    assert (shards / "writer-000001.json").is_file(), "the third lost its marker"
    assert [path.read_bytes() for path in (shards / "tmp").glob("*/part")] == [b"of the third"]


@by_strides
def test_a_pack_whose_marker_expired_ends_with_the_same_shards(stride: int, packed: Path, tmp_path: Path) -> None:
    number, run, selection = 0, RunFolder(packed / "run"), Selection(clips_per_shard=3)
    while True:
        shards = tmp_path / str(number)
        second = after_expiry(lambda shards=shards: pack_shards(run, shards, selection))
        with interrupt_after_operation(number, second) as pause:
            is_refused(lambda shards=shards: pack_shards(run, shards, selection), TAKEN_OVER)
        if pause.status is None:
            break
        pack_shards(run, shards, selection)
        assert verify_shards(shards) == [], pause.operation
        assert read_clips(shards) == read_clips(packed / "shards"), pause.operation
        shutil.rmtree(shards)
        number += stride
    assert number > 20


@by_strides
def test_two_takedowns_in_a_run_lose_no_decision(stride: int, packed: Path, tmp_path: Path) -> None:
    number = 0
    while True:
        run = RunFolder(Path(shutil.copytree(packed / "run", tmp_path / str(number))))
        second = after_expiry(lambda run=run: take_down(run, SECOND))
        with interrupt_after_operation(number, second) as pause:
            is_refused(lambda run=run: take_down(run, FIRST), TAKEN_OVER)
        if pause.status is None:
            break
        take_down(run, FIRST)
        take_down(run, SECOND)
        table = run.ledger().to_pylist()
        assert {row["video_id"] for row in table if row["source"] == "a" and row["stage"] == "takedown"} == {
            "001.mp4",
            "003.mp4",
        }, pause.operation
        parts = b"".join(path.read_bytes() for path in run.root.rglob(PART))
        assert parts.count(b"ftyp") == 3, pause.operation
        shutil.rmtree(run.root)
        number += stride
    assert number > 10


def test_a_pack_of_a_run_that_changes_meanwhile_is_refused(packed: Path, tmp_path: Path) -> None:
    run = RunFolder(Path(shutil.copytree(packed / "run", tmp_path / "run")))
    shards = tmp_path / "shards"
    with interrupt_after_operation(20, lambda: take_down(run, FIRST)) as pause:
        assert is_refused(lambda: pack_shards(run, shards, Selection()), "changed while it was packed")
    assert pause.status == 0
    assert "not finished" in verify_shards(shards)[0]


@pytest.mark.slow
def test_no_finished_shards_hold_a_clip_that_was_deleted_before_they_were_finished(
    packed: Path, tmp_path: Path
) -> None:
    number, finished = 0, []
    while True:
        run = RunFolder(Path(shutil.copytree(packed / "run", tmp_path / f"run-{number}")))
        shards = tmp_path / f"shards-{number}"
        with interrupt_after_operation(number, lambda run=run: take_down(run, FIRST)) as pause:
            refused = is_refused(lambda run=run, shards=shards: pack_shards(run, shards, Selection()), "while it was")
        if pause.status is None:
            break
        assert pause.status == 0, pause.operation
        assert refused != (shards / "manifest.json").exists(), pause.operation
        if not refused:
            finished.append(pause.operation)
        number += 1
    assert number > 20
    # Only while the writer tidies up, after the last comparison, is the pack not refused.
    assert {operation.partition(" ")[0] for operation in finished} == {"remove"}


def test_shards_that_were_finished_before_stay_so_when_the_run_changes_during_a_second_pack(
    packed: Path, tmp_path: Path
) -> None:
    run = RunFolder(Path(shutil.copytree(packed / "run", tmp_path / "run")))
    shards = tmp_path / "shards"
    pack_shards(run, shards, Selection())
    before = (shards / "manifest.json").read_bytes()
    with interrupt_after_operation(1, lambda: take_down(run, FIRST)) as pause:
        assert is_refused(lambda: pack_shards(run, shards, Selection()), "changed while it was packed")
    assert pause.status == 0
    assert (shards / "manifest.json").read_bytes() == before


def test_a_writer_that_lost_its_marker_removes_no_generation(packed: Path, tmp_path: Path) -> None:
    shards = Path(shutil.copytree(packed / "shards", tmp_path / "shards"))
    delete_clips(shards, FIRST)
    (shards / "manifest-000000.json").write_bytes(b"left by a writer that was killed")
    with open_for_writing(shards) as writer:
        assert writer.lock.marker is not None
        writer.lock.marker.unlink()
        with pytest.raises(UserError, match="another process took over"):
            writer.read_newest()
    assert list_generations(shards) == [0, 1]
    delete_clips(shards, FIRST)
    assert list_generations(shards) == [1]


def test_a_writer_that_read_another_generation_changes_nothing(packed: Path, tmp_path: Path) -> None:
    shards = Path(shutil.copytree(packed / "shards", tmp_path / "shards"))
    before = read_manifest(shards)
    delete_clips(shards, FIRST)
    newest = read_manifest(shards)
    assert (newest.generation, list_generations(shards)) == (1, [1])
    with open_for_writing(shards) as writer, pytest.raises(UserError, match="read generation 0, and generation 1"):
        writer.commit(before, before)
    assert read_manifest(shards) == newest
    assert verify_shards(shards) == []


def test_a_copy_of_an_old_generation_is_named_and_repaired(packed: Path, tmp_path: Path) -> None:
    shards = Path(shutil.copytree(packed / "shards", tmp_path / "shards"))
    old = (shards / "manifest.json").read_bytes()
    delete_clips(shards, FIRST)
    (shards / "manifest.json").write_bytes(old)
    assert any("is not manifest-000001.json" in fault for fault in verify_shards(shards))
    delete_clips(shards, FIRST)
    assert verify_shards(shards) == []
