"""Curate one video in a child process with limits on CPU time, memory and wall-clock time.

A video becomes `failed` only if its own child dies of a signal that nobody sent from outside, or exceeds a limit.
"""

import logging
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
from avf_shards.cli.logging_setup import setup_worker_logging
from avf_shards.system.child_process import end_with_parent, module_command
from avf_shards.system.memory_limit import inherited_limit_bytes, lower_limit

from avf_curation.execution.worker import UnitWorker, WorkerSetup
from avf_curation.pipeline.failures import FailureCause, InfrastructureError, MemoryShortageError
from avf_curation.pipeline.outcomes import VideoOutcomes, fail_video
from avf_curation.pipeline.unit_job import UnitJob, UnitReport
from avf_curation.sources.types import Video

log = logging.getLogger(__name__)
_POLL_S = 0.05
_WALL_FACTOR = 4  # a child that waits for its disk may take this many times its CPU limit in wall-clock time
_LOADING_S = 120  # allowed in addition, for loading the detectors
# RLIMIT_DATA counts what is reserved, and libraries reserve far more than they touch. The limit is only a backstop:
# the parent watches the resident memory, which is what the setting means.
_RESERVED_BYTES = 8_000_000_000
_STOPPED_FROM_OUTSIDE = ("SIGTERM", "SIGINT", "SIGHUP")


def isolated_timeout_s(cpu_s: float) -> float:
    """Return how many seconds a child may take in all: loading its detectors, then a multiple of its CPU limit."""
    return _LOADING_S + _WALL_FACTOR * cpu_s


def run_isolated(worker: UnitWorker, job: UnitJob) -> UnitReport:
    """Curate and commit one unit, each video in its own child: a video that kills its process ends as `failed`."""
    worker.detectors.clock.clear()
    worker.read_inputs_first(job)

    def curate(video: Video) -> VideoOutcomes:
        if video.video_id in job.fatal_videos:
            failure = FailureCause(stage="open", error="machine_lost", message="a machine was lost with it, twice")
            return VideoOutcomes(video=video, outcomes=(fail_video(video, failure),))
        return curate_isolated(worker.setup, video)

    return worker.commit(job, curate)


def curate_isolated(setup: WorkerSetup, video: Video) -> VideoOutcomes:
    """Curate one video in a child. Raises InfrastructureError when the child ends for another reason than the video."""
    limits = setup.recipe.run
    with tempfile.TemporaryDirectory(prefix="avf-isolated-") as folder:
        job_file, result_file = Path(folder, "job"), Path(folder, "result")
        job_file.write_bytes(pickle.dumps((setup, video)))
        child = _start_child(job_file, result_file)
        failure = _watch_child(child, limits.video_cpu_s, limits.video_memory_mb * 1e6)
        if failure is None and child.returncode == 0 and result_file.is_file():
            result: VideoOutcomes | InfrastructureError = pickle.loads(result_file.read_bytes())
            if isinstance(result, VideoOutcomes):
                return result
            failure = _classify_shortage(result, limits.video_memory_mb)
        failure = failure or _classify_exit(child.returncode, limits.video_cpu_s)
    log.warning("%s/%s failed in its own process: %s: %s", video.source, video.video_id, failure.error, failure.message)
    return VideoOutcomes(video=video, outcomes=(fail_video(video, failure),))


def _classify_shortage(error: InfrastructureError, memory_mb: float) -> FailureCause:
    """Return why a video failed whose own process had too little memory. Raises any other error of the machine.

    Where the machine has as much memory left as a video may take, and no `ulimit` takes it away, the video asked for
    more than that.
    """
    if not isinstance(error, MemoryShortageError):
        raise error
    if (allowed_bytes := inherited_limit_bytes()) < _RESERVED_BYTES + memory_mb * 1e6:
        raise InfrastructureError(
            f"a ulimit allows each process {allowed_bytes / 1e6:.0f} MB of memory, less than a video may take "
            f"(run.video_memory_mb={memory_mb:g}, and {_RESERVED_BYTES / 1e6:.0f} MB that libraries reserve); raise "
            "`ulimit -v` and `ulimit -d`, then the same command continues"
        )
    available_mb = psutil.virtual_memory().available / 1e6
    if available_mb < memory_mb:
        raise InfrastructureError(
            f"the machine has {available_mb:.0f} MB of memory left, less than run.video_memory_mb={memory_mb:g}; "
            "use fewer workers, then the same command continues"
        )
    return FailureCause(stage="open", error="memory_limit", message=f"asked for more than {memory_mb:g} MB of memory")


def _start_child(job_file: Path, result_file: Path) -> "subprocess.Popen[bytes]":
    # Not a multiprocessing.Process with the "spawn" method, for three reasons. Before it runs its target it imports
    # the parent's main module, which in a worker is Ray's: memory that would count against the video's limit. It
    # replaces standard input only after the target's imports, and importing PySceneDetect starts ffmpeg, which must
    # not find a terminal there. And it leaves a helper process (the resource tracker) behind in every worker.
    command = module_command(__name__, str(os.getpid()), str(job_file), str(result_file))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=environment)


def _watch_child(child: "subprocess.Popen[bytes]", cpu_s: float, memory_bytes: float) -> FailureCause | None:
    """Wait for the child; kill it and return the cause when it exceeds its memory or wall-clock limit."""
    started_s = time.monotonic()
    timeout_s = isolated_timeout_s(cpu_s)
    process = psutil.Process(child.pid)
    while child.poll() is None:
        try:
            resident_bytes = process.memory_info().rss
        except psutil.Error:  # it ended between the two calls
            break
        failure = None
        if resident_bytes > memory_bytes:
            message = f"took more than {memory_bytes / 1e6:g} MB of memory"
            failure = FailureCause(stage="open", error="memory_limit", message=message)
        elif time.monotonic() - started_s > timeout_s:
            failure = FailureCause(stage="open", error="time_limit", message=f"took more than {timeout_s:g} s")
        if failure is not None:
            child.kill()
            child.wait()
            return failure
        time.sleep(_POLL_S)
    child.wait()
    return None


def _classify_exit(status: int, cpu_s: float) -> FailureCause:
    """Return why a child failed its video. Raises InfrastructureError when the exit status says nothing about it."""
    if status >= 0:
        raise InfrastructureError(f"the process of an isolated video ended with status {status}")
    name = signal.Signals(-status).name
    if name in _STOPPED_FROM_OUTSIDE:
        raise InfrastructureError(f"the process of an isolated video was stopped from outside ({name})")
    if name == "SIGXCPU":
        return FailureCause(stage="open", error="cpu_limit", message=f"took more than {cpu_s:g} s of CPU time")
    return FailureCause(stage="open", error="killed", message=f"its process died of {name}")


def main(job_file: Path, result_file: Path) -> None:
    """Run the child: load the detectors, set the limits, curate the video, write the pickled outcomes or error."""
    lower_limit(resource.RLIMIT_CORE, 0)
    setup_worker_logging()
    setup, video = pickle.loads(job_file.read_bytes())  # the parent's own file, in a folder that only it can open
    try:
        worker = UnitWorker(setup, tests_itself=False)  # its parent did
    except InfrastructureError as error:
        result_file.write_bytes(pickle.dumps(error))
        return
    limits = setup.recipe.run
    # Only now: the CPU time of loading the detectors is not the video's. SIGXCPU comes at the first limit; the second
    # kills a process that ignores the signal.
    usage = resource.getrusage(resource.RUSAGE_SELF)
    cpu_s = int(usage.ru_utime + usage.ru_stime + limits.video_cpu_s) + 1
    lower_limit(resource.RLIMIT_CPU, cpu_s, cpu_s + 5)
    lower_limit(resource.RLIMIT_DATA, _RESERVED_BYTES + int(limits.video_memory_mb * 1e6))
    result: VideoOutcomes | InfrastructureError
    try:
        result = worker.curate_video(video)
    except InfrastructureError as error:
        result = error
    result_file.write_bytes(pickle.dumps(result))


if __name__ == "__main__":
    end_with_parent(int(sys.argv[1]), signal.SIGKILL)
    main(*map(Path, sys.argv[2:]))
