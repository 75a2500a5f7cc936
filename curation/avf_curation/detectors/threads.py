"""One thread per library inside a worker: results must not change with the number of cores."""

import os
import sys

VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "NUMBA_NUM_THREADS")


def limit_threads() -> None:
    """Hold OpenCV, torch, BLAS and OpenMP of this process to one thread, now and for what is loaded later.

    torch is not loaded for it: that takes seconds, and the embedded backends do without. Call again after it is.
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
    """Whether torch can use a CUDA device of this machine."""
    import torch

    return bool(torch.cuda.is_available())
