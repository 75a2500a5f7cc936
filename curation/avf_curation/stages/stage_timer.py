"""Wall-clock seconds per stage, for the log and the report's list of slow stages; no result depends on them."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class StageTimer:
    """Sums wall-clock seconds by stage name, and reports the start of each stage."""

    def __init__(self) -> None:
        self.on_stage: Callable[[str], None] = lambda name: None  # called with the name of a stage that starts
        self.seconds: dict[str, float] = {}  # stage -> seconds since the last clear()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time spent inside the block to the stage `name`."""
        self.on_stage(name)
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    def clear(self) -> None:
        """Forget all seconds."""
        self.seconds = {}
