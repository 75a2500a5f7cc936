"""A process that dies after its n-th file operation: what SIGKILL at any time comes to."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from avf_shards import durable_io


class DiedError(Exception):
    """Stands for SIGKILL."""


class Death:
    """came: whether the work got as far as to die."""

    came = False


@contextmanager
def dies_after(number: int, *told_as: type[Exception]) -> Iterator[Death]:
    """Inside, operation `number` (from 0) is the last. told_as: what the work makes of it."""
    death, left = Death(), [number]

    def die(operation: str, path: Path) -> None:
        left[0] -= 1
        if left[0] == -1:
            death.came = True
            raise DiedError

    with durable_io.watch(die), suppress(DiedError, *told_as):
        yield death
