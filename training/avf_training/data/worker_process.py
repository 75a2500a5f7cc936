"""Worker processes of a data loader: their number, and signals. A worker ends when asked to, or with the trainer."""

import multiprocessing
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker

from avf_shards.system.child_process import end_with_parent

# `timeout`, Slurm and a terminal send these to every process of the group. The trainer decides when the run ends.
_GROUP_SIGNALS = frozenset((signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1))


@contextmanager
def any_number_of_workers() -> Iterator[None]:
    """Keep torch from warning of more workers than cores where a loader is made inside the block.

    A recipe is for machines of any size: its workers take turns then, and the batches are the same.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="This DataLoader will create", category=UserWarning)
        yield


@contextmanager
def group_signals_blocked() -> Iterator[None]:
    """Block the signals of the process group inside the block; a worker that is started there blocks them for ever.

    A signal that arrives meanwhile is handled after the block.
    """
    if multiprocessing.get_start_method(allow_none=True) in ("forkserver", "spawn"):
        # Python starts its resource tracker with the first worker, and lets SIGTERM and SIGINT through again as it
        # does: a fork server that is started after it would end with the group, and its workers with it.
        resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _GROUP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def init_worker(trainer_pid: int, worker: int) -> None:
    """Prepare a worker that was started in `group_signals_blocked`: SIGTERM of its trainer alone ends it."""
    if sys.platform != "linux":
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _GROUP_SIGNALS)
        return
    # A fork server that had been started before blocks nothing, so that the worker does it here.
    signal.pthread_sigmask(signal.SIG_BLOCK, _GROUP_SIGNALS)
    # The parent is the trainer, or the fork server, which ends with the trainer. The kernel tells of its end even a
    # worker that is stuck in a library; the sentinel tells of an end before the kernel was asked.
    end_with_parent(os.getppid(), signal.SIGKILL)
    threading.Thread(target=_end_with_trainer, daemon=True).start()
    threading.Thread(target=_end_on_request, args=(trainer_pid,), daemon=True).start()


def _end_with_trainer() -> None:
    """End the process when the trainer has ended."""
    trainer = multiprocessing.parent_process()
    if trainer is not None:
        trainer.join()
        os._exit(1)


def _end_on_request(trainer_pid: int) -> None:
    """End the process when its trainer sends SIGTERM, as torch does to a worker that is busy when the loader closes."""
    while True:
        received = signal.sigwaitinfo(_GROUP_SIGNALS)
        if received.si_signo == signal.SIGTERM and received.si_pid == trainer_pid:
            os._exit(0)
