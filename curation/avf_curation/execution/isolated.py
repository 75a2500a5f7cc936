"""One video in a child process of its own, with limits on CPU time and memory.

Only a video whose own child dies by a signal of its own doing or exceeds a limit is `failed`.
"""

import os
import pickle
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from avf_curation.execution.worker import UnitWorker, WorkerSetup
from avf_curation.pipeline.failures import FailureCause, InfrastructureError
from avf_curation.pipeline.unit import UnitJob, UnitReport
from avf_curation.pipeline.video import VideoOutcomes, fail_video
from avf_curation.sources.types import Video

_POLL_S = 0.05
_WALL_FACTOR = 4  # a child that waits is given this many times its CPU limit,
_LOADING_S = 120  # and this long to load its tools


def isolated_timeout_s(cpu_s: float) -> float:
    """How long a child may take in all: loading its tools, then a multiple of its CPU limit."""
    return _LOADING_S + _WALL_FACTOR * cpu_s


def run_isolated(worker: UnitWorker, job: UnitJob) -> UnitReport:
    """Curate and commit one unit, each video in a child of its own: one that kills its process ends as `failed`."""
    worker.tools.clock.clear()
    return worker.commit(job, lambda video: curate_isolated(worker.setup, video))


def curate_isolated(setup: WorkerSetup, video: Video) -> VideoOutcomes:
    """Curate one video in a child. Raises InfrastructureError when the child ends for no fault of the video's."""
    limits = setup.recipe.run
    with tempfile.TemporaryDirectory(prefix="avf-alone-") as folder:
        job, answer = Path(folder, "job"), Path(folder, "answer")
        job.write_bytes(pickle.dumps((setup, video)))  # our own file, read by our own child
        command = [
            sys.executable,
            "-m",
            "avf_curation.execution.isolated",
            str(job),
            str(answer),
            str(limits.video_cpu_s),
        ]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=environment)
        fault = _watch(child, limits.video_cpu_s, limits.video_memory_mb * 1e6)
        if fault is None and child.returncode == 0 and answer.is_file():
            result: VideoOutcomes = pickle.loads(answer.read_bytes())
            return result
        if fault is None and child.returncode < 0:
            name = signal.Signals(-child.returncode).name
            if name in ("SIGTERM", "SIGINT", "SIGHUP"):
                raise InfrastructureError(f"the isolated video was stopped from outside ({name})")
            limit = name == "SIGXCPU"
            fault = (
                _cpu_fault(limits.video_cpu_s)
                if limit
                else FailureCause(stage="open", error="killed", message=f"its process died of {name}")
            )
        if fault is None:
            raise InfrastructureError(f"the isolated video's process ended with status {child.returncode}")
        return VideoOutcomes(video=video, outcomes=(fail_video(fault),))


def _cpu_fault(limit_s: float) -> FailureCause:
    return FailureCause(stage="open", error="cpu_limit", message=f"took more than {limit_s:g} s of CPU time")


def _watch(child: "subprocess.Popen[bytes]", cpu_s: float, memory_bytes: float) -> FailureCause | None:
    """Wait for the child; kill it and say why when it exceeds a limit."""
    start = time.monotonic()
    process = psutil.Process(child.pid)
    while child.poll() is None:
        try:
            used = process.memory_info().rss
        except psutil.Error:
            break
        fault = None
        if used > memory_bytes:
            fault = FailureCause(
                stage="open", error="memory_limit", message=f"took more than {memory_bytes / 1e6:g} MB of memory"
            )
        elif time.monotonic() - start > isolated_timeout_s(cpu_s):
            fault = FailureCause(
                stage="open", error="time_limit", message=f"took more than {isolated_timeout_s(cpu_s):g} s"
            )
        if fault:
            child.kill()
            child.wait()
            return fault
        time.sleep(_POLL_S)
    child.wait()
    return None


def main(job: str, answer: str, cpu_s: str) -> None:
    """The child: load the tools, set the limits, do the work. What loading took is not the video's."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    setup, video = pickle.loads(Path(job).read_bytes())
    worker = UnitWorker(setup)
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime + float(cpu_s)) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
    data = _RLIMIT_SLACK_BYTES + int(setup.recipe.run.video_memory_mb * 1e6)
    resource.setrlimit(resource.RLIMIT_DATA, (data, data))
    result = worker.curate(video)
    Path(answer).write_bytes(pickle.dumps(result))


_RLIMIT_SLACK_BYTES = 8_000_000_000  # libraries reserve far more than they touch; the parent watches what is touched

if __name__ == "__main__":
    main(*sys.argv[1:])
