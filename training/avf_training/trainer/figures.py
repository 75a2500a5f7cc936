"""The set-up of matplotlib for all figures of this package."""

from typing import Any


def load_pyplot() -> Any:
    """Return matplotlib.pyplot set up to draw into files, without a display.

    A function, because the import takes a second and most commands draw nothing.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot
