"""Remember Ctrl-C and SIGTERM in a flag, because native callbacks (FFmpeg's, Ray's) may swallow KeyboardInterrupt."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# A scheduler ends a job by SIGTERM; what is stopped is the same as by Ctrl-C.
_NUMBERS = (signal.SIGINT, signal.SIGTERM)
_interrupted = threading.Event()
_remembering = threading.Event()  # while in `remember_interrupt`


def _interrupt(number: int, frame: FrameType | None) -> None:
    _interrupted.set()
    raise KeyboardInterrupt


@contextmanager
def remember_interrupt() -> Iterator[None]:
    """Raise KeyboardInterrupt on Ctrl-C and SIGTERM, and also remember it for `check_interrupt`.

    Does nothing outside the main thread, where Python allows no signal handlers.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous_handlers = [(number, signal.signal(number, _interrupt)) for number in _NUMBERS]
    _interrupted.clear()
    _remembering.set()
    try:
        yield
    finally:
        _remembering.clear()
        for number, handler in previous_handlers:
            signal.signal(number, handler)
        _interrupted.clear()


def restore_handlers() -> None:
    """Set the handlers of `remember_interrupt` again, after a library (Ray) has replaced them by its own."""
    if _remembering.is_set() and threading.current_thread() is threading.main_thread():
        for number in _NUMBERS:
            signal.signal(number, _interrupt)


def check_interrupt() -> None:
    """Raise KeyboardInterrupt if a signal came and the exception got lost. Engines call this in their loop."""
    if _interrupted.is_set():
        raise KeyboardInterrupt
