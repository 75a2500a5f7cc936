"""Model FLOPs utilization (MFU): the FLOPs that training needs, over the FLOPs that the device could compute.

A step counts as three forward passes (one forward, two for the backward pass); recomputed activations do not count.
Products in half and in single precision count against the device's peak for each: its peak for a model is the rate at
which it could do them one after the other.
"""

import time
from dataclasses import dataclass

import torch

from avf_training.models.config import ModelConfig, Precision
from avf_training.models.summary import forward_gmacs, single_precision_share

# Dense TFLOP/s from the vendors' data sheets: (bf16 and fp16, TF32, fp32).
_DATA_SHEETS = {
    "H200": (989.0, 494.0, 67.0),
    "H100": (989.0, 494.0, 67.0),
    "A100": (312.0, 156.0, 19.5),
    "A6000": (154.8, 77.4, 38.7),
    "L40S": (362.0, 183.0, 91.6),
    "V100": (125.0, 15.7, 15.7),
}
_MATMUL, _MEASURE_S = 1024, 0.3  # side of the matrices, and how long they are multiplied


@dataclass(frozen=True, kw_only=True)
class PeakFlops:
    """Peak FLOP/s of one device."""

    flops_per_s: float  # multiplications and additions counted apart
    source: str  # where the figure is from


NO_PEAK = PeakFlops(flops_per_s=float("inf"), source="unknown")


def training_flops(config: ModelConfig, outputs: int | None = None) -> float:
    """Return the FLOPs of one clip in a step of pre-training, or of fine-tuning a model of so many outputs."""
    return 3 * 2 * forward_gmacs(config, outputs) * 1e9


def peak_flops(device: torch.device, precision: Precision, model: ModelConfig | None = None) -> PeakFlops:
    """Return the device's peak for the recipe's matrix products, from its data sheet or else measured now.

    Args:
        model: in pre-training, whose decoders may stay in single precision; None: all products are in one type.
    """
    single = "TF32" if precision.tf32 else "fp32"
    if precision.compute == "fp32":
        return _peak_of_kind(device, single)
    share = 0.0 if model is None else single_precision_share(model, precision)
    half = _peak_of_kind(device, precision.compute)
    if not share:
        return half
    rest = _peak_of_kind(device, single)
    together = 1 / ((1 - share) / half.flops_per_s + share / rest.flops_per_s)
    return PeakFlops(flops_per_s=together, source=f"{half.source} for {1 - share:.0%}, {single} for {share:.0%}")


def _peak_of_kind(device: torch.device, kind: str) -> PeakFlops:
    """Return the device's peak for matrix products of one kind: fp32, TF32, fp16 or bf16."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        for model, figures in _DATA_SHEETS.items():
            if model in name:
                teraflops = figures[{"TF32": 1, "fp32": 2}.get(kind, 0)]
                return PeakFlops(flops_per_s=teraflops * 1e12, source=f"{name}, data sheet, dense {kind}")
        return PeakFlops(flops_per_s=_measure_flops(device, kind), source=f"{name}, measured, {kind}")
    return PeakFlops(
        flops_per_s=_measure_flops(device, kind), source=f"measured here, {torch.get_num_threads()} threads, {kind}"
    )


def _measure_flops(device: torch.device, kind: str) -> float:
    """Return the FLOP/s of large matrix products."""
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(kind, torch.float32)
    a, b = (torch.randn(_MATMUL, _MATMUL, device=device).to(dtype) for _ in range(2))
    best_s, end_s = float("inf"), time.perf_counter() + _MEASURE_S
    while time.perf_counter() < end_s:
        start_s = time.perf_counter()
        (a @ b).sum().item()  # item() waits for the GPU
        best_s = min(best_s, time.perf_counter() - start_s)
    return 2 * _MATMUL**3 / best_s
