"""The parts in the order in which they run: correctness before speed."""

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from benchmarks.gpu.results import Row

if TYPE_CHECKING:  # the settings import torch, which the process that starts the parts does not need
    from benchmarks.gpu.settings import Settings

Run = Callable[["Settings"], Iterator[tuple[str, Row]]]
Group = Literal["correctness", "speed"]


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part, which has a process and a JSON file of its own."""

    name: str
    group: Group
    function: str  # module and function; imported in the part's process alone
    expected_s: int  # on an H100; a part is not started with less time left, and is stopped after three times as much
    note: str  # sentence above its tables

    def load(self) -> Run:
        """Return the function, which yields the title of a table and a row of it."""
        module, _, name = self.function.rpartition(".")
        run: Run = getattr(importlib.import_module(f"benchmarks.gpu.{module}"), name)
        return run


def _step_part(model: str, expected_s: int) -> Part:
    return Part(
        name=f"step_{model}",
        group="speed",
        function=f"step_speed.{model}",
        expected_s=expected_s,
        note="A training step of the trainer from stored planes and audio on the device to new weights: median of steps "
        "after a warm-up, by CUDA events. TFLOP/s counts three forward passes of the model; MFU is its share of a "
        "bf16 product of 8192 x 8192 matrices, measured in the same process on random data.",
    )


PARTS = (
    Part(
        name="frames_models",
        group="correctness",
        function="check_frames_models.run",
        expected_s=40,
        note="Models of the frame-level side without dropout, on random pictures, waves and features; errors as below. Batch norms "
        "of static networks and speech encoders divide by a fixed scale and subtract nothing: deep networks of random weights "
        "would otherwise be chaotic, and rounding their signal.",
    ),
    Part(
        name="frames_training",
        group="correctness",
        function="check_frames_training.run",
        expected_s=50,
        note="Short runs of the functions behind `pretrain-images`, `finetune-images`, `extract`, `train-frames` and "
        "`predict-frames` on drawn pictures and planted tracks, in fp32 and without dropout unless a row says otherwise; then a "
        "run of the CPU that is taken back to a third, goes on with the device, and from two thirds on the CPU.",
    ),
    Part(
        name="detectors",
        group="speed",
        function="detector_speed.run",
        expected_s=35,
        note="The detectors of curation with drawn weights, at the batches that curation uses, frames on the host to answers on the "
        "host; the CPU has all its cores. Equality is checked in fp32; speed has torch's default, by which convolutions round to TF32, and its differences stand beside.",
    ),
    Part(
        name="frames_speed",
        group="speed",
        function="frames_speed.run",
        expected_s=60,
        note="Steps from pixels or features on the device to new weights, and extraction of features from JPEGs on disk by one "
        "process, beside the network alone. TFLOP/s counts three forward passes of what image MAE sees; MFU is its share of a "
        "bf16 product measured in the same process.",
    ),
    Part(
        name="cuda_graphs",
        group="speed",
        function="cuda_graphs.run",
        expected_s=40,
        note="The forward and backward pass of pre-training as a CUDA graph; model inputs, clipping and the optimizer stay outside. "
        "A row without figures has the reason in its note. Without a GPU the pass runs as it is.",
    ),
    Part(
        name="models",
        group="correctness",
        function="check_models.run_eager",
        expected_s=60,
        note="Random clips, weights and masks; errors are norms of differences over the norm of the float64 value. "
        "Float64 is computed on the device, and that is checked against the CPU with the smallest model.",
    ),
    Part(
        name="transforms",
        group="correctness",
        function="check_transforms.run",
        expected_s=15,
        note="Random planes and noise, with a silent clip, one that ends early, and one with full-range planes.",
    ),
    Part(
        name="training",
        group="correctness",
        function="check_training.run",
        expected_s=100,
        note="Runs of nano through the trainer on made-up shards: workers by each start method, a run in fp16 beside one in "
        "bf16 that leaves out the updates that the scaler of fp16 skipped, and resuming on another device.",
    ),
    Part(
        name="repeat",
        group="correctness",
        function="check_training.run_repeated",
        expected_s=50,
        note="Runs of nano twice, with torch's deterministic algorithms and without.",
    ),
    Part(
        name="compile",
        group="correctness",
        function="check_models.compiled_hicmae_t",
        expected_s=130,
        note="As `models`, with the model compiled by torch.compile; the time includes compiling.",
    ),
    Part(
        name="models_others",
        group="correctness",
        function="check_models.run_others",
        expected_s=60,
        note="As `models`: the other model, and the other precisions.",
    ),
    Part(
        name="compile_avfmaepp_b",
        group="correctness",
        function="check_models.compiled_avfmaepp_b",
        expected_s=200,
        note="As `compile`.",
    ),
    Part(
        name="finetuning_costs",
        group="speed",
        function="finetuning_costs.run",
        expected_s=120,
        note="A training step of fine-tuning by the recipe, from stored planes and audio on the device with augmentation and "
        "mixing to new weights, and the same with one thing changed. Both steps take turns in one process. `The recipe again` "
        "shows what differs by chance: steps of so few samples wait for the host, which starts their kernels. Collectives "
        "between GPUs are not part of it: the moments of batch norm are summed and moved, and sent to nobody.",
    ),
    Part(
        name="recipes",
        group="speed",
        function="recipe_speed.run",
        expected_s=50,
        note="The recipe of AVF-MAE++ B in its authors' number types and the recipe `fast`, at 164 clips. The peak of a "
        "mixture of types is the rate of doing its operations one after the other, each at the peak measured for its type. "
        "Where a step takes longer than its kernels, it waits for the host, which starts them.",
    ),
    Part(
        name="step_memory",
        group="speed",
        function="step_memory.run",
        expected_s=45,
        note="Steps of one GPU by the recipes as they are, in a process that may take the memory of a 48 GB card less 1 GiB "
        "for CUDA. Computed: as `avf-train estimate` does. Gradient buffers of several GPUs are not in it.",
    ),
    Part(
        name="probe_cost",
        group="speed",
        function="probe_cost.run",
        expected_s=40,
        note="The linear and the nearest-neighbour probe on a shelf of drawn speakers, decoded in the process of the run, "
        "beside a step of the recipe `fast`.",
    ),
    _step_part("avfmaepp_b", 40),
    Part(
        name="profile",
        group="speed",
        function="step_profile.run",
        expected_s=25,
        note="One step in bf16 by torch's profiler: time of the kernels that each part of the step starts, forward and "
        "backward, and of each kind of kernel.",
    ),
    _step_part("hicmae_b", 40),
    Part(
        name="data",
        group="speed",
        function="data_wait.run",
        expected_s=60,
        note="Runs of the trainer in bf16 from shards on disk, in which a few made-up talkers of 6 s and 224 px repeat, "
        "with a worker for each core but one; and the loader alone.",
    ),
    _step_part("avfmaepp_h", 30),
    _step_part("avfmaepp_l", 25),
    Part(
        name="step_compiled",
        group="speed",
        function="step_speed.run_compiled",
        expected_s=100,
        note="The same step with the model compiled by torch.compile; the first step includes compiling, or reading what an "
        "earlier process has compiled.",
    ),
    _step_part("hicmae_s", 20),
    _step_part("hicmae_t", 20),
)


def find_part(name: str) -> Part:
    """Return the part of that name. Raises KeyError."""
    return {part.name: part for part in PARTS}[name]
