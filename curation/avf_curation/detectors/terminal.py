"""Keep a worker, and every program that its libraries start, away from the user's terminal.

Importing PySceneDetect runs ffmpeg, which changes the settings of the terminal on its standard input. In a background
process group the kernel answers that with SIGTTOU, which stops ffmpeg, and the process that waits for it hangs.
"""

import fcntl
import os
import termios
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_STDIN = 0


def detach_from_terminal() -> None:
    """Give up the controlling terminal of this process and read standard input from /dev/null.

    Programs started later can neither open /dev/tty nor find a terminal on standard input. The process group stays as
    it is, so signals to the group still arrive.
    """
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, _STDIN)
    os.close(null)
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    except OSError:  # there is no controlling terminal
        return
    with suppress(OSError):
        fcntl.ioctl(terminal, termios.TIOCNOTTY)
    os.close(terminal)


@contextmanager
def no_terminal_input() -> Iterator[None]:
    """Read standard input from /dev/null inside the block, and from the former file after it.

    This is for imports in the user's own process, which keeps its terminal.
    """
    try:
        before = os.dup(_STDIN)
    except OSError:  # standard input is closed: there is no terminal to protect
        yield
        return
    null = os.open(os.devnull, os.O_RDONLY)
    try:
        os.dup2(null, _STDIN)
        yield
    finally:
        os.dup2(before, _STDIN)
        os.close(before)
        os.close(null)


def stopped_processes() -> list[str]:
    """Return the descendants of this process that a signal has stopped, each as `ffmpeg (process 4711)`."""
    import psutil

    names = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if process.status() == psutil.STATUS_STOPPED:
                names.append(f"{process.name()} (process {process.pid})")
    return names
