"""Ctrl-C that cannot be lost: a library's callback may swallow the exception, the flag stays."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_pressed = threading.Event()


@contextmanager
def remember_interrupt() -> Iterator[None]:
    """Raise KeyboardInterrupt on Ctrl-C as usual, and also remember it for `check_interrupt`; main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def press(number: int, frame: FrameType | None) -> None:
        _pressed.set()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, press)
    _pressed.clear()
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        _pressed.clear()


def check_interrupt() -> None:
    """Raise KeyboardInterrupt when Ctrl-C was pressed and got lost. Engines call it between two looks at their work."""
    if _pressed.is_set():
        raise KeyboardInterrupt
