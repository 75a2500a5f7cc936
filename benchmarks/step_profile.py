"""Profile one pre-training step of AVF-MAE++ B: the share of each kind of operator."""

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.models import BATCH, PRECISIONS, best_device, make_step
from benchmarks.table import Section

KINDS = {
    "matrix products": ("mm", "addmm", "bmm", "linear", "mkldnn"),
    "attention, forward and backward": ("scaled_dot_product",),
    "casts and copies": ("copy_", "cat", "index", "gather", "scatter", "stack", "fill_", "zero_"),
    "norms": ("layer_norm", "batch_norm"),
    "GELU": ("gelu",),
    "AdamW": ("adam",),
    "additions and other elementwise": ("add", "mul", "sub", "div", "sum", "mean", "var", "sigmoid", "sqrt", "pow"),
}
NOTE = (
    "{batch} clips on {device}, 2 threads, bf16, self time of all operators of one step by torch's profiler: {seconds:.1f} s. The "
    "three largest: matrix products are fused where the arithmetic allows (queries, keys and values in one product; masked tubes never "
    "embedded; the last decoder block asks for mask tokens only; stage IV of the last layer is skipped); attention runs through SDPA, "
    "its small share in regions of 4 to 11 tokens is bound by calls, not by arithmetic; casts are those of autocast (weights once a "
    "step, norms and sums in fp32), their number does not grow with the batch, and patches are read by index instead of copying all."
)


def run() -> list[Section]:
    torch.set_num_threads(2)
    device = best_device()
    step = make_step("avfmaepp_b", PRECISIONS["bf16"], device)
    step.run()
    with profile(activities=[ProfilerActivity.CPU]) as recorded:
        step.run()
    events = recorded.key_averages()
    total = sum(event.self_cpu_time_total for event in events)
    remaining = {event.key: (event.self_cpu_time_total, event.count) for event in events}
    rows = [["", "share", "s", "calls", "largest operator"]]
    by_kind = []
    for kind, words in KINDS.items():
        operators = {key: remaining.pop(key) for key in list(remaining) if any(word in key for word in words)}
        by_kind.append((kind, operators))
    by_kind.append(("the rest", remaining))
    for kind, operators in sorted(by_kind, key=lambda pair: -sum(time for time, _ in pair[1].values())):
        time = sum(time for time, _ in operators.values())
        largest = max(operators, key=lambda key: operators[key][0]).removeprefix("aten::")
        calls = sum(count for _, count in operators.values())
        rows.append([kind, f"{time / total:.0%}", f"{time / 1e6:.2f}", str(calls), f"`{largest}`"])
    return [Section("Profile of a step", NOTE.format(batch=BATCH, device=device, seconds=total / 1e6), rows)]
