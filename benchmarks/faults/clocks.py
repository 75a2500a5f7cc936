"""Clocks that step: locks are neither lost nor held by the dead, and no byte of a run depends on the time."""

import itertools
import json
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from unittest import mock

from avf_shards.errors import UserError
from avf_shards.system import run_lock
from avf_shards.system.run_lock import RunLock, marker_values
from support.runs import make_inputs
from support.trees import file_digests

from benchmarks.faults.subjects import curate_and_pack, without_models
from benchmarks.faults.trials import Trial

_DAY_S = 86_400
_STEPS_S = (-3650 * _DAY_S, -_DAY_S, -3600, -120, -61, -59, -1, 1, 59, 61, 120, 3600, _DAY_S, 3650 * _DAY_S)


def try_clocks(count: int, skipped: frozenset[str]) -> Iterator[Trial]:
    """Yield what became of locks and runs under each step of a clock; `count` runs have clocks that step at random."""
    for step_s, is_alive, is_here in itertools.product(_STEPS_S, (True, False), (True, False)):
        where = "this machine" if is_here else "another machine"
        row = f"lock of a {'living' if is_alive else 'dead'} process of {where}"
        case = f"{row}, its clock steps by {step_s} s"
        if case not in skipped:
            yield _try_lock(case, row, step_s, is_alive, is_here)
    with tempfile.TemporaryDirectory() as name, without_models():
        source = make_inputs(Path(name) / "inputs", 3)
        curate_and_pack(source, Path(name) / "undisturbed")
        expected = file_digests(Path(name) / "undisturbed")
        for number in range(count):
            case = f"run {number}"
            if case in skipped:
                continue
            out = Path(name) / str(number)
            with _stepping_clock(random.Random(number)):
                curate_and_pack(source, out)
            is_same = file_digests(out) == expected
            outcome = "the same bytes" if is_same else "other bytes"
            yield Trial(
                case=case,
                row="plan, curation and pack, the clock steps at each look",
                outcome=outcome,
                lost=int(not is_same),
            )


def _try_lock(case: str, row: str, step_s: float, is_alive: bool, is_here: bool) -> Trial:
    """Let a second process ask for a lock whose marker was touched `step_s` from now by the clock."""
    with tempfile.TemporaryDirectory() as name, _short_watch() as waits:
        values = marker_values(os.getpid()) | ({} if is_alive or not is_here else {"started": 1})
        values |= {} if is_here else {"machine": "another boot"}
        marker = Path(name, "lock-000001.json")
        marker.write_text(json.dumps(values))
        stamp_s = time.time() + step_s
        os.utime(marker, (stamp_s, stamp_s))
        if is_alive and not is_here:
            # The heartbeat of the other machine, whose clock goes on from where it stepped to.
            waits.append(lambda: os.utime(marker, (stamp_s + 10, stamp_s + 10)))
        try:
            with RunLock(Path(name), "lock", "here"):
                outcome = "taken over"
        except UserError:
            outcome = "refused"
    # A dead process of another machine that touched its marker less than a minute ago may be alive: refused for so long.
    is_doubtful = not is_alive and not is_here and abs(step_s) < run_lock.EXPIRES_S
    is_right = outcome == ("refused" if is_alive or is_doubtful else "taken over")
    return Trial(
        case=case,
        row=row,
        outcome=outcome,
        lost=int(not is_right and is_alive),
        silent=int(not is_right and not is_alive),
    )


@contextmanager
def _short_watch() -> Iterator[list[Callable[[], None]]]:
    """Watch a marker for a tenth of a second; yield functions that are called meanwhile."""
    calls: list[Callable[[], None]] = []
    sleep = time.sleep

    def wait(seconds: float) -> None:
        for call in calls:
            call()
        sleep(seconds)

    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(run_lock, "WATCH_S", 0.1))
        stack.enter_context(mock.patch.object(run_lock, "_POLL_S", 0.02))
        stack.enter_context(mock.patch.object(time, "sleep", wait))
        yield calls


@contextmanager
def _stepping_clock(draw: random.Random) -> Iterator[None]:
    """Let the wall clock say another time at each look, years before or after. The monotonic one goes on."""
    real, real_ns = time.time, time.time_ns

    def look(clock: Callable[[], float], unit: int) -> float:
        return clock() + draw.choice(_STEPS_S) * unit

    with (
        mock.patch.object(time, "time", partial(look, real, 1)),
        mock.patch.object(time, "time_ns", partial(look, real_ns, 10**9)),
    ):
        yield
