"""The training step with its forward and backward pass as a CUDA graph, beside the same step without.

A graph replays all kernels of a pass by one call of the host, which otherwise starts each of them. The inputs, the
optimizer and the clipping stay outside: the crops of a batch are numbers of the host.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext

import torch
from avf_training.data.pretraining_sampler import pretraining_input
from avf_training.distributed.collectives import process_group
from avf_training.distributed.context import DistributedContext
from avf_training.models.batch_norm import update_running_statistics
from avf_training.models.masks import Masks
from avf_training.objectives.pretraining_loss import pretraining_losses
from torch import Tensor, nn

from benchmarks.gpu.parity import relative_error
from benchmarks.gpu.results import PASSED, Row
from benchmarks.gpu.settings import Settings, precision_for, recipe_for
from benchmarks.gpu.timing import time_steps
from benchmarks.gpu.training_step import TrainingStep

_TABLE = "A training step in bf16 with a CUDA graph and without"
_RUNS = (("nano", 48), ("hicmae_t", 40), ("avfmaepp_b", 164))  # whole groups of each model's batch norm
_TOLERANCE = 1e-3  # of the loss and of all gradients: the same kernels, but sums whose order changes from run to run
_WARMUP = 3


def run(settings: Settings) -> Iterator[tuple[str, Row]]:
    """Capture and time the step of a model whose kernels are short, and of those that are trained."""
    with process_group(settings.device) as context:
        for model, clips in _RUNS[:1] if settings.tiny else _RUNS:
            yield _TABLE, _row(model, 2 if settings.tiny else clips, context, settings)


def _row(model: str, clips: int, context: DistributedContext, settings: Settings) -> Row:
    row: Row = {"model": model, "clips": clips}
    try:
        step = TrainingStep(recipe_for(model, settings), context, settings.stored_px)
        step.set_batch(clips)
        step.set_precision(precision_for("bf16", settings))
        graphed = GraphedPass(step, settings.device)
        row = {**row, **_times(step, graphed, settings, graphs=False)}
        graphed.reset()
        loss, gradients = graphed.run_eagerly()
        expected = [loss.detach().clone(), *(each.clone() for each in gradients)]
        graphed.capture()
        graphed.replay()
        results = graphed.results()
        loss_gap = relative_error(results[0], expected[0])
        gradient_gap = relative_error(
            *(torch.cat([each.flatten() for each in side[1:]]) for side in (results, expected))
        )
        row = {**row, **_times(step, graphed, settings, graphs=True)}
        return {
            **row,
            "loss differs by": loss_gap,
            "gradient differs by": gradient_gap,
            "at most": _TOLERANCE,
            "note": "",
            PASSED: loss_gap <= _TOLERANCE and gradient_gap <= _TOLERANCE,
        }
    except Exception as error:  # a pass that cannot be captured is a result: the reason is the row
        if settings.device == "cuda":
            torch.cuda.empty_cache()
        return {**row, "note": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}


def _times(step: TrainingStep, graphed: "GraphedPass", settings: Settings, *, graphs: bool) -> Row:
    seconds = 0.1 if settings.tiny else 1.0
    if not graphs:
        whole = time_steps(step.run, settings.device, seconds=seconds).median_s
        eager = time_steps(graphed.run_eagerly, settings.device, seconds=seconds).median_s
        return {"step ms": 1000 * whole, "forward and backward ms": 1000 * eager}
    whole = time_steps(graphed.run_step, settings.device, seconds=seconds).median_s
    replay = time_steps(graphed.replay, settings.device, seconds=seconds).median_s
    peak_gb = torch.cuda.max_memory_allocated() / 1e9 if settings.device == "cuda" else None
    return {"step with a graph, ms": 1000 * whole, "replay ms": 1000 * replay, "peak GB": peak_gb}


class GraphedPass:
    """The forward and backward pass of a step on inputs that stay in one place, which can be captured."""

    def __init__(self, step: TrainingStep, device: str) -> None:
        assert step.batch is not None
        self.step, self.device, self.batch = step, device, step.batch
        self.config = step.recipe.model_config()
        self.parameters = [each for each in step.model.parameters() if each.requires_grad]
        video, audio = self._inputs()
        assert video is not None
        assert audio is not None
        self.video, self.audio = video.clone(), audio.clone()
        self.masks = Masks(*(part.clone() for part in step.batch.masks))
        self.loss = torch.zeros((), device=device)
        self._replay: Callable[[], object] = self.run_eagerly

    def _inputs(self) -> tuple[Tensor | None, Tensor | None]:
        return pretraining_input(self.batch, self.config.geometry, self.config.modalities)

    def _autocast(self) -> AbstractContextManager[object]:
        if self.step.recipe.precision.compute == "fp32":
            return nullcontext()
        # Weights that are cast once and remembered would be of the first pass in every replay.
        return torch.autocast(self.device, torch.bfloat16, cache_enabled=False)

    def reset(self) -> None:
        """Let go of all gradients, so that a pass makes them anew."""
        for parameter in self.parameters:
            parameter.grad = None

    def run_eagerly(self) -> tuple[Tensor, list[Tensor]]:
        """Run the pass from gradients that are not there; return the loss and the gradients."""
        self.reset()
        self._compute()
        return self.loss, [each.grad for each in self.parameters if each.grad is not None]

    def _compute(self) -> None:
        with self._autocast():
            out = self.step.model(self.video, self.audio, self.masks)
        loss = pretraining_losses(out, self.video, self.audio, self.masks, self.config).total
        loss.backward()
        self.loss = loss.detach()  # the graph of a pass outside a capture must not live on into it

    def capture(self) -> None:
        """Record the pass on the device; without a GPU the pass runs as it is."""
        if self.device != "cuda":
            return
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(_WARMUP):
                self.run_eagerly()
        torch.cuda.current_stream().wait_stream(side)
        self.reset()
        graph = torch.cuda.CUDAGraph()
        # Other threads, such as that which watches collectives, may ask the device meanwhile.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            self._compute()
        self._replay = graph.replay

    def replay(self) -> None:
        """Run the captured pass; the loss and the gradients are written where they were at the capture."""
        self._replay()

    def results(self) -> list[Tensor]:
        """Return the loss and the gradients of the last pass."""
        return [self.loss.detach(), *(each.grad for each in self.parameters if each.grad is not None)]

    def run_step(self) -> list[float]:
        """Run a whole step: the inputs into their place, the pass, clipping and new weights."""
        video, audio = self._inputs()
        assert video is not None
        assert audio is not None
        self.video.copy_(video)
        self.audio.copy_(audio)
        for static, new in zip(self.masks, self.batch.masks, strict=True):
            static.copy_(new)
        self.replay()
        train = self.step.train_step
        norm = nn.utils.clip_grad_norm_(self.parameters, train.clip_norm or float("inf"))
        means: list[float] = torch.stack([self.loss.detach(), norm]).float().tolist()
        train.optimizer.step()
        update_running_statistics(self.step.model, False)
        return means
