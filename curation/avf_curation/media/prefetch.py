"""Decodes in a second thread, a few frames ahead of their consumer: FFmpeg works without the GIL."""

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

DEPTH = 2  # frames ahead; more gain nothing, and an 8K frame is 50 MB


def prefetch_items(items: Iterator[T], depth: int = DEPTH) -> Generator[T, None, None]:
    """Yield `items`, none of which may be None, in their order; a second thread computes up to `depth` items ahead.

    An exception of `items` is raised in place of the next item. Close the generator (`contextlib.closing`) where it may
    be abandoned before its end: closing waits until the thread has stopped.
    """
    with ThreadPoolExecutor(1, "decode ahead") as pool:
        pending = deque(pool.submit(next, items, None) for _ in range(depth))
        while (item := pending.popleft().result()) is not None:
            pending.append(pool.submit(next, items, None))
            yield item
