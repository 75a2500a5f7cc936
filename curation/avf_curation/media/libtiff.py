"""libtiff, which Pillow reads compressed TIFF files through: it would print every fault of a file to the terminal."""

import ctypes
from pathlib import Path

from PIL import features

_MAPS = Path("/proc/self/maps")  # of Linux; elsewhere the faults are printed, and nothing else changes
_HANDLERS = ("TIFFSetErrorHandler", "TIFFSetErrorHandlerExt", "TIFFSetWarningHandler", "TIFFSetWarningHandlerExt")


def silence_libtiff() -> None:
    """Take the functions that print away from each libtiff in this process; what goes wrong is an error of Pillow."""
    if not features.check("libtiff"):  # which loads it, too
        return
    try:
        lines = _MAPS.read_text("utf-8", "replace").splitlines()
    except OSError:
        return
    paths = {line[line.index("/") :] for line in lines if "/" in line}
    for path in sorted(path for path in paths if Path(path).name.startswith("libtiff")):
        try:
            library = ctypes.CDLL(path)  # the one that is loaded already
            for name in _HANDLERS:
                getattr(library, name)(None)
        except (OSError, AttributeError):
            continue
