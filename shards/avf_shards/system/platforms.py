"""The operating systems that the programs run on."""

import sys

WINDOWS_REFUSAL = (
    "this program does not run on Windows: its locks, limits and signals are those of Linux and macOS; "
    "run it in WSL 2 (https://learn.microsoft.com/windows/wsl), in a container, or on Linux"
)


def is_windows() -> bool:
    """Return whether this is Python for Windows, with Cygwin's left out, which has the calls of POSIX."""
    return sys.platform == "win32"
