"""Curate the pictures of a unit in child processes, many in each, so that one that kills its process costs two of them.

What a child has decided when it dies stays decided. The picture that it was at gets a process of its own
(`isolated.py`), whose limits and death alone are a verdict, and the next child goes on behind it.
"""

import os
import pickle
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
from avf_shards.cli.logging_setup import setup_worker_logging
from avf_shards.system import named_writes
from avf_shards.system.child_process import end_with_parent, module_command
from avf_shards.system.memory_limit import lower_limit

from avf_curation.execution.isolated import curate_isolated, isolated_timeout_s, run_isolated
from avf_curation.execution.worker import UnitWorker, WorkerSetup
from avf_curation.pipeline.failures import InfrastructureError
from avf_curation.pipeline.outcomes import VideoOutcomes
from avf_curation.pipeline.unit_job import UnitJob, UnitReport
from avf_curation.sources.types import Video

_MAX_PICTURES = 128  # of a child: what it decides is held in memory until the unit is committed
_POLL_S = 0.05
_RESERVED_BYTES = 8_000_000_000  # by libraries, of which they touch little: see isolated.py


def run_in_children(worker: UnitWorker, job: UnitJob) -> UnitReport:
    """Curate and commit one unit in child processes: a process for each video, or for many pictures.

    Raises InfrastructureError.
    """
    # Where machines were lost with the unit, what its worker is at must be known: one at a time, as videos are.
    if worker.setup.recipe.content == "clips" or job.runs_alone or job.fatal_videos:
        return run_isolated(worker, job)
    worker.detectors.clock.clear()
    worker.read_inputs_first(job)
    return worker.commit(job, PictureChildren(worker.setup, job.videos).curate)


class PictureChildren:
    """The children of one unit. Pictures are asked for in the order of the unit."""

    def __init__(self, setup: WorkerSetup, pictures: Sequence[Video]) -> None:
        self._setup, self._pictures = setup, tuple(pictures)
        self._decided: dict[str, VideoOutcomes] = {}  # by the picture's id
        self._next = 0  # the first picture that no child was given
        self.children = 0  # processes that were started

    def curate(self, picture: Video) -> VideoOutcomes:
        """Return the outcome of a picture. Raises InfrastructureError as `curate_isolated` does."""
        if self._next < len(self._pictures) and picture == self._pictures[self._next]:
            self._run_child()
        outcomes = self._decided.pop(picture.video_id, None)
        if outcomes is not None:
            return outcomes
        self.children += 1
        return curate_isolated(self._setup, picture)

    def _run_child(self) -> None:
        """Let a child decide the next pictures; the one that it died at is not given to another with others."""
        batch = self._pictures[self._next : self._next + _MAX_PICTURES]
        self.children += 1
        decided = _decide_in_child(self._setup, batch)
        self._decided |= {outcomes.video.video_id: outcomes for outcomes in decided}
        self._next += min(len(decided) + 1, len(batch))


def _decide_in_child(setup: WorkerSetup, pictures: Sequence[Video]) -> list[VideoOutcomes]:
    """Return the outcomes of the first pictures: all of them, or those before the one at which the child ended."""
    with tempfile.TemporaryDirectory(prefix="avf-isolated-") as folder:
        job_file, result_file = Path(folder, "job"), Path(folder, "results")
        named_writes.write_bytes(job_file, pickle.dumps((setup, tuple(pictures))))
        result_file.touch()
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        command = module_command(__name__, str(os.getpid()), str(job_file), str(result_file))
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=environment)
        try:
            _watch_child(child, result_file, setup)
        finally:
            child.kill()
            child.wait()
        return _read_results(result_file)


def _watch_child(child: "subprocess.Popen[bytes]", result_file: Path, setup: WorkerSetup) -> None:
    """Return when the child has ended, takes more memory than a picture may, or is at one for too long."""
    limits, process = setup.recipe.run, psutil.Process(child.pid)
    size_bytes, since_s = 0, time.monotonic()
    while child.poll() is None:
        try:
            if process.memory_info().rss > limits.video_memory_mb * 1e6:
                return
        except psutil.Error:  # it ended between the two calls
            return
        if (now_bytes := result_file.stat().st_size) != size_bytes:
            size_bytes, since_s = now_bytes, time.monotonic()
        elif time.monotonic() - since_s > isolated_timeout_s(limits.video_cpu_s):
            return
        time.sleep(_POLL_S)


def _read_results(result_file: Path) -> list[VideoOutcomes]:
    """Return what the child wrote before it ended; the last result may be cut off."""
    results: list[VideoOutcomes] = []
    with result_file.open("rb") as file:
        while True:
            try:
                results.append(pickle.load(file))  # of a child of this process, in a folder that only it can open
            except (EOFError, pickle.UnpicklingError):
                return results


def main(job_file: Path, result_file: Path) -> None:
    """Run the child: load the detectors, then decide picture after picture, each with the CPU time that one may take.

    It ends at the first error that is not a picture's, without a word: in a process of its own the picture says why.
    """
    lower_limit(resource.RLIMIT_CORE, 0)
    setup_worker_logging()
    setup, pictures = pickle.loads(job_file.read_bytes())  # the parent's own file
    try:
        worker = UnitWorker(setup, tests_itself=False)  # its parent did
    except InfrastructureError:
        return
    lower_limit(resource.RLIMIT_DATA, _RESERVED_BYTES + int(setup.recipe.run.video_memory_mb * 1e6))
    most_s = resource.getrlimit(resource.RLIMIT_CPU)[1]
    with named_writes.append_bytes(result_file) as file:
        for picture in pictures:
            usage = resource.getrusage(resource.RUSAGE_SELF)
            cpu_s = int(usage.ru_utime + usage.ru_stime + setup.recipe.run.video_cpu_s) + 1
            if most_s == resource.RLIM_INFINITY or cpu_s < most_s:
                resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, most_s))
            try:
                outcomes = worker.curate_video(picture)
            except InfrastructureError:
                return
            pickle.dump(outcomes, file)
            file.flush()


if __name__ == "__main__":
    end_with_parent(int(sys.argv[1]), signal.SIGKILL)
    main(*map(Path, sys.argv[2:]))
