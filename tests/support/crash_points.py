"""Simulated crashes and pauses: the code under test stops after a given file operation, for good or for a while.

An fsync is not counted: what other processes see is the same before and after it, and what a dead process leaves too.
"""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from avf_shards.system import durable_io

#: Gives a test the argument `stride`: it looks at each fifth file operation, and in the slow tests at each.
by_strides = pytest.mark.parametrize(
    "stride", [pytest.param(5, id="each fifth"), pytest.param(1, id="each", marks=pytest.mark.slow)]
)


class SimulatedCrashError(Exception):
    """The exception that simulates SIGKILL."""


class Crash:
    """The state of a simulated crash."""

    happened = False  # whether the code reached the file operation at which it crashes


class Interruption:
    """The state of a pause."""

    operation = ""  # after which the block was paused; empty: it has fewer operations
    status: int | None = None  # exit status of the other process; None: there was no pause


@contextmanager
def crash_after_operation(number: int, *expected_errors: type[Exception]) -> Iterator[Crash]:
    """Crash the block after file operation `number`, counted from 0.

    expected_errors: exceptions into which the code under test may turn the crash; they end the block silently too.
    """
    crash, remaining = Crash(), [number]

    def die(operation: str, path: Path) -> None:
        remaining[0] -= operation != "fsync"
        if remaining[0] == -1 and not crash.happened:
            crash.happened = True
            raise SimulatedCrashError

    with durable_io.watch(die), suppress(SimulatedCrashError, *expected_errors):
        yield crash


@contextmanager
def kill_after_operation(number: int) -> Iterator[None]:
    """Kill this process after file operation `number` of the block, counted from 1; 0: never.

    Every operation counts, fsync too.
    """
    count = 0

    def kill(operation: str, path: Path) -> None:
        nonlocal count
        count += 1
        if count == number:
            os.kill(os.getpid(), signal.SIGKILL)

    with durable_io.watch(kill):
        yield


@contextmanager
def interrupt_after_operation(number: int, other: Callable[[], None]) -> Iterator[Interruption]:
    """Pause the block after file operation `number`, counted from 0, while another process runs `other` to its end.

    Afterwards the block goes on, as a process does that was stopped and continued.
    """
    interruption, remaining = Interruption(), [number]

    def pause(operation: str, path: Path) -> None:
        remaining[0] -= operation != "fsync"
        if remaining[0] == -1 and interruption.status is None:
            interruption.operation = f"{operation} {path.name}"
            interruption.status = exit_status_in_child(other)

    with durable_io.watch(pause):
        yield interruption


def exit_status_in_child(work: Callable[[], None]) -> int:
    """Return the exit status of a fork that runs `work`: 0, 1 after an exception, negative for a signal."""
    child = os.fork()
    if child == 0:
        try:
            with durable_io.watch(lambda operation, path: None):  # the pause is the parent's
                work()
            os._exit(0)
        except BaseException:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
