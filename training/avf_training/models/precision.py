"""Numeric precision: autocast of the encoders, and what stays in single precision (AVF-MAE++ 5.2)."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

_DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True, kw_only=True)
class Precision:
    """compute: type of matrix products. fp32_decoder: decoders and loss in fp32 (the paper), else one autocast.

    tf32: products that stay fp32 may be rounded to TF32 on GPUs that have it.
    """

    compute: Literal["fp32", "fp16", "bf16"] = "bf16"
    fp32_decoder: bool = True
    tf32: bool = False

    def autocast(self, device_type: str) -> AbstractContextManager[object]:
        """Around the model's forward pass; the loss stays outside."""
        if self.compute == "fp32":
            return nullcontext()
        return torch.autocast(device_type, _DTYPES[self.compute])


def set_numerics(threads: int | None, precision: Precision) -> None:
    """Threads of this process, and the type of products that stay in single precision."""
    if threads:
        torch.set_num_threads(threads)
    torch.set_float32_matmul_precision("high" if precision.tf32 else "highest")


def full_precision(device_type: str, on: bool) -> AbstractContextManager[object]:
    """Inside an autocast: none here."""
    if not on or device_type == "meta" or not torch.is_autocast_enabled(device_type):
        return nullcontext()
    return torch.autocast(device_type, enabled=False)


def at_least_fp32(x: Tensor) -> Tensor:
    """`x` in fp32 if it is narrower; wider stays."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
