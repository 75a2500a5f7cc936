"""Clips read before they are needed: threads wait for the storage while the worker decodes."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

A = TypeVar("A")
R = TypeVar("R")


def read_ahead(
    requests: Iterable[A], read: Callable[[A], R], threads: int
) -> Generator[tuple[A, Callable[[], R]], None, None]:
    """Yield each request, in order, with a call that returns what was read or raises the reader's error.

    `threads` requests are read ahead, each in its own thread; with 0 the call itself reads. When the iterator is
    closed, reads that have not started are cancelled and running reads are not waited for.
    """
    if not threads:
        for request in requests:
            yield request, partial(read, request)
        return
    pool = ThreadPoolExecutor(threads, "read-ahead")
    try:
        pending: deque[tuple[A, Callable[[], R]]] = deque()
        for request in requests:
            pending.append((request, pool.submit(read, request).result))
            if len(pending) > threads:
                yield pending.popleft()
        yield from pending
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
