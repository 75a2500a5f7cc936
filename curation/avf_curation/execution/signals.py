"""Remember Ctrl-C in a flag, because native callbacks (FFmpeg's, Ray's) may swallow the KeyboardInterrupt."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_interrupted = threading.Event()


@contextmanager
def remember_interrupt() -> Iterator[None]:
    """Raise KeyboardInterrupt on Ctrl-C as usual, and also remember it for `check_interrupt`.

    Does nothing outside the main thread, where Python allows no signal handlers.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        _interrupted.set()
        raise KeyboardInterrupt

    previous_handler = signal.signal(signal.SIGINT, interrupt)
    _interrupted.clear()
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous_handler)
        _interrupted.clear()


def check_interrupt() -> None:
    """Raise KeyboardInterrupt if Ctrl-C was pressed and the exception got lost. Engines call this in their loop."""
    if _interrupted.is_set():
        raise KeyboardInterrupt
