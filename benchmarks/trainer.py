"""Measure the trainer's own cost: overhead, the stall at a checkpoint, waiting for data, and the cores that would feed a GPU."""

import statistics
import tempfile
from pathlib import Path

import torch
from avf_training.config.pretrain import load_recipe
from avf_training.models.flops import training_flops
from avf_training.pretraining.pretrain import PretrainingData, run_pretraining
from avf_training.trainer.checkpoint import Checkpoints
from avf_training.trainer.metrics_writer import THROUGHPUT, read_lines

from benchmarks.table import Section
from benchmarks.talkers import ABOUT, encode_stored_clip, write_shards

CLIPS, EVERY = 32, 6
RUNS = {
    "nano, 24 clips": ("nano", ["steps=48", "eval_every=0"]),
    "avfmaepp_b, 4 clips, fp32": (
        "avfmaepp_b",
        ["steps=18", "batch=4", "micro_batch=4", "precision.compute=fp32", "workers=1", "eval_every=0"],
    ),
}
STREAM_MS = 4.62  # of a core, a clip of 224 px: the table of the stream above
NOTE = (
    f"{CLIPS} {ABOUT}. Everything on two cores that also decode. Overhead: the share of time that is neither waiting for data nor the step itself, median "
    f"of all steps; a checkpoint is saved every {EVERY} steps. Stall: the longest of the steps during which or after which a checkpoint was "
    "taken or written, over the median of the others, less one: in steps. MFU is of the fp32 product measured at each start."
)


def run() -> list[Section]:
    torch.set_num_threads(2)
    rows = [["model", "step", "waited for data", "overhead (2 %)", "checkpoint", "stall (1 step)", "TFLOP/s", "MFU"]]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shards = write_shards(folder / "shards", [encode_stored_clip(n) for n in range(CLIPS)])
        for label, (recipe, settings) in RUNS.items():
            out = folder / recipe
            overrides = [*settings, "log_every=1", f"checkpoint_every={EVERY}", "checkpoint_keep=1"]
            run_pretraining(load_recipe(recipe, overrides), PretrainingData(shards=shards), out)
            rows.append([label, *_row(out)])
    return [Section("The trainer's own cost", NOTE, rows), _cores()]


def _row(out: Path) -> list[str]:
    speed = read_lines(out / THROUGHPUT)[2:]  # the first steps allocate their memory
    step_s = statistics.median(row["step_s"] for row in speed)
    others = [1 - row["waited_share"] - row["computed_share"] for row in speed]
    after = [row["step_s"] for row in speed if row["step"] % EVERY in (0, 1)]
    quiet = statistics.median(row["step_s"] for row in speed if row["step"] % EVERY not in (0, 1))
    (newest,) = Checkpoints(out, 1, 0).steps()
    folder = out / f"checkpoints/step-{newest:08d}"
    size = sum(path.stat().st_size for path in folder.iterdir())
    return [
        f"{step_s:.2f} s",
        f"{statistics.median(row['waited_share'] for row in speed):.1%}",
        f"{statistics.median(others):.2%}",
        f"{size / 1e6:,.0f} MB",
        f"{max(after) / quiet - 1:.2f}",
        f"{statistics.median(row['teraflops_per_device'] for row in speed):.3f}",
        f"{statistics.median(row['mfu'] for row in speed):.0%}",
    ]


def _cores() -> Section:
    rows = [["model", "GFLOP a clip", "clips/s at 316 TFLOP/s", "cores for one such GPU"]]
    for name in ("avfmaepp_b", "avfmaepp_l", "avfmaepp_h"):
        flops = training_flops(load_recipe(name).model_config())
        per_s = 316e12 / flops
        rows.append([name, f"{flops / 1e9:.1f}", f"{per_s:,.0f}", f"{per_s * STREAM_MS / 1000:.1f}"])
    note = (
        "On paper: no GPU was measured. The rate that 316 TFLOP/s of model work would ask for, times the "
        f"{STREAM_MS} ms of a core that the stream takes for a clip. With as many cores the GPU waits for nothing; 5 % fewer make it wait 5 %."
    )
    return Section("Cores that would feed a GPU", note, rows)
