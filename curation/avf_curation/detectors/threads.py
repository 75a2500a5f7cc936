"""Limit each library of a worker to one thread, so that results do not change with the number of cores."""

import os
import sys

VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "NUMBA_NUM_THREADS")


def limit_threads() -> None:
    """Limit OpenCV, torch, BLAS and OpenMP of this process to one thread, and libraries that are loaded later.

    This does not load torch, which takes seconds and which the embedded backends do not need: call it again after a
    model has loaded torch.
    """
    import cv2
    from threadpoolctl import threadpool_limits

    for name in VARIABLES:
        os.environ[name] = "1"
    cv2.setNumThreads(1)
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(1)
    threadpool_limits(1)


def cuda_available() -> bool:
    """Return whether torch can use a CUDA device of this machine."""
    import torch

    return bool(torch.cuda.is_available())
