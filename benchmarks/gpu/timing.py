"""Times of repeated work on a device, and the peaks that they are compared with."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

_SIDE = 8192  # of the matrices whose product is the peak


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Times of a repeated step."""

    median_s: float
    spread: float  # slowest over fastest, less 1
    steps: int


def time_steps(work: Callable[[], object], device: str, *, seconds: float, warmup: int = 3) -> Timing:
    """Run `work` for about so many seconds, 3 to 30 times after a warm-up, and time each run by CUDA events."""
    for _ in range(warmup):
        work()
    _synchronize(device)
    start_s = time.perf_counter()
    work()
    _synchronize(device)
    count = min(30, max(3, int(seconds / max(1e-4, time.perf_counter() - start_s))))
    times = sorted(_cuda_times(work, count) if device == "cuda" else _cpu_times(work, count))
    return Timing(median_s=statistics.median(times), spread=times[-1] / times[0] - 1, steps=count)


def matmul_flops(device: str, dtype: torch.dtype, *, tf32: bool = False, side: int = _SIDE) -> float:
    """Return the FLOP/s of a product of two random square matrices."""
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    timing = time_steps(lambda: a @ b, device, seconds=0.3)
    torch.set_float32_matmul_precision(before)
    return 2 * side**3 / timing.median_s


def copy_bytes_per_s(device: str, size_bytes: int) -> float:
    """Return the bytes read and written per second by a large copy on the device."""
    source = torch.randint(0, 255, (size_bytes,), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    timing = time_steps(lambda: target.copy_(source), device, seconds=0.3)
    return 2 * size_bytes / timing.median_s


def _synchronize(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def _cuda_times(work: Callable[[], object], count: int) -> list[float]:
    events = [torch.cuda.Event(enable_timing=True) for _ in range(count + 1)]
    events[0].record()
    for event in events[1:]:
        work()
        event.record()
    torch.cuda.synchronize()
    return [before.elapsed_time(after) / 1000 for before, after in zip(events[:-1], events[1:], strict=True)]


def _cpu_times(work: Callable[[], object], count: int) -> list[float]:
    times = []
    for _ in range(count):
        start_s = time.perf_counter()
        work()
        times.append(time.perf_counter() - start_s)
    return times
