"""Waiting until a condition holds, instead of for a fixed time."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
_POLL_S = 0.02


def wait_until(condition: Callable[[], T], description: str, timeout_s: float = 120.0) -> T:
    """Call `condition` until it returns something true, and return that.

    Raises AssertionError that names the `description` after `timeout_s`. The condition may raise to end the wait early.
    """
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        result = condition()
        if result:
            return result
        time.sleep(_POLL_S)
    raise AssertionError(f"waited {timeout_s:g} s for {description}")
