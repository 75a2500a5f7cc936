"""Numeric precision: autocast of the encoders, and what stays in single precision (AVF-MAE++ 5.2)."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

_DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True, kw_only=True)
class Precision:
    """Number types of a training run."""

    compute: Literal["fp32", "fp16", "bf16"] = "bf16"  # of matrix products
    fp32_decoder: bool = True  # keep decoders and loss in fp32, as the paper; else one autocast covers everything
    tf32: bool = False  # allow TF32 for the products that stay fp32, on GPUs that have it

    def autocast(self, device_type: str) -> AbstractContextManager[object]:
        """Return the autocast for the model's forward pass; the loss is computed outside."""
        if self.compute == "fp32":
            return nullcontext()
        return torch.autocast(device_type, _DTYPES[self.compute])


def set_numerics(threads: int | None, precision: Precision) -> None:
    """Set the threads of this process (None: unchanged) and the type of products that stay in single precision."""
    if threads:
        torch.set_num_threads(threads)
    torch.set_float32_matmul_precision("high" if precision.tf32 else "highest")
    # Convolutions, such as those of the refinement layer, have a switch of their own, which torch leaves on.
    torch.backends.cudnn.allow_tf32 = precision.tf32


def full_precision(device_type: str, on: bool) -> AbstractContextManager[object]:
    """Return a context that switches a surrounding autocast off, or does nothing with `on` false."""
    if not on or device_type == "meta" or not torch.is_autocast_enabled(device_type):
        return nullcontext()
    return torch.autocast(device_type, enabled=False)


def at_least_fp32(x: Tensor) -> Tensor:
    """Return `x` in fp32 if its type is narrower; float64 stays, which parity checks compute in."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
