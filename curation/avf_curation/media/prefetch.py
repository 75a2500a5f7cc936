"""Decoding in a thread of its own, a few frames ahead of who looks at them: FFmpeg works without the GIL."""

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

HELD = 2  # more frames ahead gain nothing, and an 8K frame is 50 MB


def prefetch_items(items: Iterator[T], held: int = HELD) -> Generator[T, None, None]:
    """`items` (never None) in their order, made up to `held` ahead by a second thread.

    What `items` raises is raised where its next item would have been. Close it (`contextlib.closing`) where it may be
    left before its end: the thread has then stopped.
    """
    with ThreadPoolExecutor(1, "decode ahead") as pool:
        made = deque(pool.submit(next, items, None) for _ in range(held))
        while (item := made.popleft().result()) is not None:
            made.append(pool.submit(next, items, None))
            yield item
