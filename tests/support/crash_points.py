"""Simulated crashes: the code under test stops after a given file operation, as a process does at SIGKILL."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from avf_shards.system import durable_io


class SimulatedCrashError(Exception):
    """The exception that simulates SIGKILL."""


class Crash:
    """The state of a simulated crash."""

    happened = False  # whether the code reached the file operation at which it crashes


@contextmanager
def crash_after_operation(number: int, *expected_errors: type[Exception]) -> Iterator[Crash]:
    """Crash the block after file operation `number`, counted from 0.

    expected_errors: exceptions into which the code under test may turn the crash; they end the block silently too.
    """
    crash, remaining = Crash(), [number]

    def die(operation: str, path: Path) -> None:
        remaining[0] -= 1
        if remaining[0] == -1:
            crash.happened = True
            raise SimulatedCrashError

    with durable_io.watch(die), suppress(SimulatedCrashError, *expected_errors):
        yield crash
