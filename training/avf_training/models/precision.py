"""Numeric precision: autocast of the encoders, and what stays in single precision (AVF-MAE++ 5.2)."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from avf_training.models.config import Precision


def set_numerics(threads: int | None, precision: Precision) -> None:
    """Set the threads of this process (None: unchanged) and the type of products that stay in single precision."""
    if threads:
        torch.set_num_threads(threads)
    torch.set_float32_matmul_precision("high" if precision.tf32 else "highest")
    # Convolutions, such as those of the refinement layer, have a switch of their own, which torch leaves on.
    torch.backends.cudnn.allow_tf32 = precision.tf32


def use_single_precision(threads: int | None = None) -> None:
    """Let all that is computed in fp32 be fp32: torch lets convolutions and recurrent units of a GPU round to TF32."""
    set_numerics(threads, Precision(compute="fp32", fp32_decoder=False))


def full_precision(device_type: str, on: bool) -> AbstractContextManager[object]:
    """Return a context that switches a surrounding autocast off, or does nothing with `on` false."""
    if not on or device_type == "meta" or not torch.is_autocast_enabled(device_type):
        return nullcontext()
    return torch.autocast(device_type, enabled=False)


def at_least_fp32(x: Tensor) -> Tensor:
    """Return `x` in fp32 if its type is narrower; float64 stays, which parity checks compute in."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
