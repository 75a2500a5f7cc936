"""Clips read before they are needed: threads wait for the storage while the worker decodes."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

A = TypeVar("A")
R = TypeVar("R")


def read_ahead(
    asked: Iterable[A], read: Callable[[A], R], threads: int
) -> Generator[tuple[A, Callable[[], R]], None, None]:
    """Each of `asked` in order with a call that gives what was read, or raises what reading raised.

    `threads` are read ahead, each in its thread; with 0 the call reads then and there. What is not asked for any more
    when the iterator is closed is not waited for.
    """
    if not threads:
        for one in asked:
            yield one, partial(read, one)
        return
    pool = ThreadPoolExecutor(threads, "read-ahead")
    try:
        waiting: deque[tuple[A, Callable[[], R]]] = deque()
        for one in asked:
            waiting.append((one, pool.submit(read, one).result))
            if len(waiting) > threads:
                yield waiting.popleft()
        yield from waiting
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
