"""Small runs and shards that faults are injected into. Their stages measure nothing."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest import mock

from avf_curation.runs.curation import RunOptions, curate
from avf_curation.stages.stage_timer import StageTimer
from avf_shards.format.run_folder import RunFolder
from avf_shards.packing.pack import pack_shards
from avf_shards.packing.selection import Selection
from avf_shards.system import durable_io
from support.curation_runs import EMBEDDED, make_recipe, stub_curate
from support.stages import single_step


class NoModels:
    """Stands for the loaded models, which no stub needs."""

    def __init__(self, *_: object) -> None:
        self.clock = StageTimer()


@contextmanager
def without_models() -> Iterator[None]:
    """Load no models inside: hundreds of processes are forked."""
    with ExitStack() as stack:
        stack.enter_context(mock.patch("avf_curation.pipeline.self_test.Detectors", NoModels))
        stack.enter_context(mock.patch("avf_curation.execution.worker.check_tools", return_value=None))
        yield


def curate_stub(source: Path, out: Path) -> RunFolder:
    """Curate a source, a video a unit."""
    options = RunOptions(engine="inline", stages=single_step(stub_curate))
    return curate(make_recipe("plan.unit_videos=1"), EMBEDDED, {"made": source}, out, options)


def curate_and_pack(source: Path, out: Path) -> None:
    """Curate a source into out/run, and pack it into out/shards."""
    pack_shards(curate_stub(source, out / "run"), out / "shards", Selection(clips_per_shard=3))


def list_operations(work: Callable[[], object]) -> list[str]:
    """Return each file operation of a function, in order."""
    operations: list[str] = []
    with durable_io.watch(lambda operation, path: operations.append(f"{operation} {path.name}")):
        work()
    return operations


def spread(operations: int, count: int) -> range:
    """Return the numbers of about `count` operations, evenly spread; 0: of all."""
    return range(0, operations, max(1, operations // count) if count else 1)


def die_after(number: int, work: Callable[[], object]) -> None:
    """Kill this process after file operation `number` of the work, counted from 0."""
    remaining = number

    def die(operation: str, path: Path) -> None:
        nonlocal remaining
        if remaining == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        remaining -= 1

    with durable_io.watch(die):
        work()


def run_work(work: Callable[[Path], object], folder: Path) -> None:
    """Call `work` with the folder, for callers that take a function without arguments or a result."""
    work(folder)
