"""Child processes that load no module of the working folder, and end with their parent, even one that was killed.

The kernel of Linux sends a child a signal when the thread that started it ends. Elsewhere these functions do nothing.
"""

import os
import signal
import sys

_PARENT_PID = "AVF_PARENT_PID"
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def module_command(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module with this Python.

    Without -P Python would look for modules in the working folder first, and that may be a corpus from outside.
    """
    return [sys.executable, "-P", "-m", module, *arguments]


def end_with_parent(parent_pid: int, number: signal.Signals) -> None:
    """Send this process a signal when its parent ends, or at once where the parent has ended already.

    Args:
        parent_pid: the parent's own process id, as the parent said it.
        number: SIGKILL, or SIGTERM for a process that saves its work.
    """
    if sys.platform != "linux":
        return
    import ctypes

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(number))
    if os.getppid() != parent_pid:  # it ended before the kernel was asked, which then sends nothing
        signal.raise_signal(number)


def child_environment() -> dict[str, str]:
    """Return the environment of a command that is to end with this process: see `end_with_launcher`."""
    return {**os.environ, _PARENT_PID: str(os.getpid())}


def end_with_launcher() -> None:
    """Send this process SIGTERM when its launcher ends: the process that started it with `child_environment`.

    The launcher of torchrun (the elastic agent), which starts its ranks in sessions of their own, is one too.
    """
    parent_pid = os.environ.pop(_PARENT_PID, None)  # not for the children of this process
    if parent_pid is not None:
        end_with_parent(int(parent_pid), signal.SIGTERM)
    elif "TORCHELASTIC_RUN_ID" in os.environ:
        end_with_parent(os.getppid(), signal.SIGTERM)
