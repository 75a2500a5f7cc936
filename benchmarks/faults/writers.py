"""Two writers of one folder: the first is paused after each of its file operations while a second runs to its end."""

import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from avf_curation.pipeline.failures import InfrastructureError
from avf_shards.deletion.requests import deletion_request
from avf_shards.errors import UserError
from avf_shards.format.run_folder import RunFolder
from avf_shards.packing.pack import pack_shards
from avf_shards.packing.run_verification import verify_run
from avf_shards.packing.selection import Selection
from avf_shards.packing.verify import verify_shards
from avf_shards.system import run_lock
from support.clips import make_flashing_shards
from support.crash_points import interrupt_after_operation
from support.runs import make_inputs
from support.shard_folders import read_clips
from support.takedowns import delete_clips, take_down
from support.trees import result_digests

from benchmarks.faults.subjects import curate_stub, list_operations, run_work, spread, without_models
from benchmarks.faults.trials import Trial

_FIRST, _SECOND = ("a/003.mp4",), ("a/001.mp4", "b/001.mp4")
_REFUSALS = re.compile(
    "at work in it|another process (took over|changed it|began)|took this run over|changed while it was packed"
    "|before a retry or a takedown in the run"
)
_STOPPED = "stopped"
_SELECTION = Selection(clips_per_shard=3)


@dataclass(frozen=True, kw_only=True)
class _Pair:
    """Two writers, of which the first is paused."""

    row: str  # of the table
    start: str  # the folder in which both work, as it is copied: "run", "shards", "both" or "" for an empty one
    first: Callable[[Path], object]
    second: Callable[[Path], object]
    state: Callable[[Path], object]  # what both leave behind when the first has been started once more
    expires: bool  # the first looks dead to the second


def try_writers(count: int, skipped: frozenset[str]) -> Iterator[Trial]:
    """Yield what became of both writers for each pair and each file operation of the first, or about `count` of them."""
    with tempfile.TemporaryDirectory() as name, without_models():
        folder = Path(name)
        make_flashing_shards(folder / "packed", {"a": 6, "b": 3}, clips_per_shard=3)
        source = make_inputs(folder / "inputs", 3)
        for pair in _pairs(source):
            yield from _pause_everywhere(pair, folder, count, skipped)


def _pairs(source: Path) -> Iterator[_Pair]:
    for expires in (False, True):
        suffix = ", the first's marker expired" if expires else ""
        yield _Pair(
            row=f"two takedowns in shards{suffix}",
            start="packed",
            first=lambda out: delete_clips(out / "shards", deletion_request(_FIRST)),
            second=lambda out: delete_clips(out / "shards", deletion_request(_SECOND)),
            state=lambda out: (verify_shards(out / "shards"), read_clips(out / "shards")),
            expires=expires,
        )
        yield _Pair(
            row=f"two takedowns in a run{suffix}",
            start="packed",
            first=lambda out: take_down(RunFolder(out / "run"), deletion_request(_FIRST)),
            second=lambda out: take_down(RunFolder(out / "run"), deletion_request(_SECOND)),
            state=lambda out: (verify_run(RunFolder(out / "run")), sorted(_verdicts(out))),
            expires=expires,
        )
        yield _Pair(
            row=f"two packs{suffix}",
            start="packed",
            first=lambda out: pack_shards(RunFolder(out / "run"), out / "new", _SELECTION),
            second=lambda out: pack_shards(RunFolder(out / "run"), out / "new", _SELECTION),
            state=lambda out: (verify_shards(out / "new"), read_clips(out / "new")),
            expires=expires,
        )
        yield _Pair(
            row=f"two runs{suffix}",
            start="",
            first=lambda out: curate_stub(source, out / "run"),
            second=lambda out: curate_stub(source, out / "run"),
            state=lambda out: (verify_run(RunFolder(out / "run")), result_digests(out / "run")),
            expires=expires,
        )
    yield _Pair(
        row="a pack, and a takedown in its run",
        start="packed",
        first=lambda out: pack_shards(RunFolder(out / "run"), out / "new", _SELECTION),
        second=lambda out: take_down(RunFolder(out / "run"), deletion_request(_FIRST)),
        # Shards that were finished first still hold the clip: the proof of a takedown lists them, and delete reaches them.
        state=lambda out: (verify_run(RunFolder(out / "run")), sorted(_verdicts(out))),
        expires=False,
    )


def _verdicts(folder: Path) -> list[str]:
    columns = ["source", "video_id", "start_frame", "stop_frame", "status", "stage"]
    return [str(tuple(row.values())) for row in RunFolder(folder / "run").ledger().select(columns).to_pylist()]


def _pause_everywhere(pair: _Pair, folder: Path, count: int, skipped: frozenset[str]) -> Iterator[Trial]:
    expected, operations = _expected_state(pair, folder)
    for number in spread(operations, count):
        out = _start(pair, folder)
        second = _after_expiry(pair, out) if pair.expires else partial(run_work, pair.second, out)
        with interrupt_after_operation(number, second) as pause:
            refusal = _refusal(partial(pair.first, out))
        if pause.status is None:
            shutil.rmtree(out)
            return
        case = f"{pair.row} {number} {pause.operation}"
        if case not in skipped:
            if pause.status != 0:  # it was refused, and is started once more as its user does
                _refusal(partial(pair.second, out))
            if refusal:
                _refusal(partial(pair.first, out))
            is_same = pair.state(out) == expected
            outcome = {
                (True, False): "the first refused",
                (False, True): "the second refused",
                (False, False): "both did their work",
                (True, True): "both refused",
            }[bool(refusal), pause.status != 0]
            if refusal.startswith(_STOPPED):
                outcome = "the first stopped with the error of a file"
            note = "" if is_same else "another state than of one after the other"
            yield Trial(case=case, row=pair.row, outcome=outcome, lost=int(not is_same), note=note)
        shutil.rmtree(out)


def _expected_state(pair: _Pair, folder: Path) -> tuple[object, int]:
    """Return what both leave behind, one after the other, and the number of file operations of the first."""
    out = _start(pair, folder)
    operations = len(list_operations(partial(pair.first, out)))
    pair.second(out)
    state = pair.state(out)
    shutil.rmtree(out)
    return state, operations


def _start(pair: _Pair, folder: Path) -> Path:
    out = folder / "work"
    if pair.start:
        shutil.copytree(folder / pair.start, out)
    else:
        out.mkdir()
    return out


def _after_expiry(pair: _Pair, out: Path) -> Callable[[], None]:
    """Return the second writer for a process to which every marker has expired."""

    def run() -> None:
        run_lock._is_alive = lambda *_: (False, True)  # dead for certain: no watching
        pair.second(out)

    return run


def _refusal(work: Callable[[], object]) -> str:
    """Return with what sentence a writer was refused or stopped, "" where it was not. Raises any other error."""
    try:
        work()
    except (UserError, InfrastructureError) as error:
        if not _REFUSALS.search(str(error)):
            raise
        return str(error)
    except OSError as error:  # a folder that it was about to use is gone: it says so, and is started once more
        return f"{_STOPPED}: {error}"
    return ""
