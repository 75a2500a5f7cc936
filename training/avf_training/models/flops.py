"""Model FLOPs utilisation: what training must compute, over what the device could.

Only the model's own work counts: three forward passes a step (one forward, two backward), nothing recomputed.
"""

import time
from dataclasses import dataclass

import torch

from avf_training.models.config import ModelConfig
from avf_training.models.precision import Precision
from avf_training.models.summary import forward_gmacs

# Dense TFLOP/s of the makers' data sheets: (bf16 and fp16, TF32, fp32).
_DATA_SHEETS = {
    "H200": (989.0, 494.0, 67.0),
    "H100": (989.0, 494.0, 67.0),
    "A100": (312.0, 156.0, 19.5),
    "A6000": (154.8, 77.4, 38.7),
    "L40S": (362.0, 183.0, 91.6),
    "V100": (125.0, 15.7, 15.7),
}
_MATMUL, _MEASURED_S = 1024, 0.3


@dataclass(frozen=True, kw_only=True)
class PeakFlops:
    """FLOP/s of one device, and where the figure is from."""

    flops_per_s: float
    source: str


NO_PEAK = PeakFlops(flops_per_s=float("inf"), source="unknown")


def training_flops(config: ModelConfig, outputs: int | None = None) -> float:
    """FLOPs of one clip in one step of pre-training, or of fine-tuning a model of so many outputs."""
    return 3 * 2 * forward_gmacs(config, outputs) * 1e9


def peak_flops(device: torch.device, precision: Precision) -> PeakFlops:
    """The device's peak for the recipe's matrix products: its data sheet's, or a large product measured now."""
    kind = "TF32" if precision.tf32 else "fp32"
    kind = kind if precision.compute == "fp32" else precision.compute
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        for known, figures in _DATA_SHEETS.items():
            if known in name:
                teraflops = figures[{"TF32": 1, "fp32": 2}.get(kind, 0)]
                return PeakFlops(flops_per_s=teraflops * 1e12, source=f"{name}, data sheet, dense {kind}")
        return PeakFlops(flops_per_s=_measured(device, precision), source=f"{name}, measured, {kind}")
    return PeakFlops(
        flops_per_s=_measured(device, precision), source=f"measured here, {torch.get_num_threads()} threads, {kind}"
    )


def _measured(device: torch.device, precision: Precision) -> float:
    """FLOP/s of large matrix products."""
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision.compute]
    a, b = (torch.randn(_MATMUL, _MATMUL, device=device).to(dtype) for _ in range(2))
    best_s, end_s = float("inf"), time.perf_counter() + _MEASURED_S
    while time.perf_counter() < end_s:
        begun_s = time.perf_counter()
        (a @ b).sum().item()
        best_s = min(best_s, time.perf_counter() - begun_s)
    return 2 * _MATMUL**3 / best_s
