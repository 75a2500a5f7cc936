"""SUN's networks of single pictures in training: rates by layer, gradual unfreezing, and what of them is saved.

B pictures, O outputs of the task, P side of a picture.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from avf_training.distributed.context import DistributedContext
from avf_training.framewise.labels.tasks import FrameLabelTask
from avf_training.framewise.models.static_files import save_static_net, start_static_net
from avf_training.framewise.models.static_layers import freeze_for_epoch, list_static_layers, static_rates
from avf_training.framewise.models.static_nets import StaticNet
from avf_training.framewise.models.static_sizes import StaticNetConfig
from avf_training.framewise.pictures.augment_config import PictureChanges
from avf_training.framewise.pictures.changes import list_changes
from avf_training.framewise.pictures.finetune_recipe import ImageFinetuneRecipe
from avf_training.framewise.pictures.static_config import StaticTraining
from avf_training.framewise.pictures.step_statistics import StepStatistics
from avf_training.framewise.pictures.stream import LabelledPictureBatch
from avf_training.framewise.schedules import warmup_then_epoch_cosine
from avf_training.trainer.optimizer import FunctionSchedule, adamw
from avf_training.trainer.train_step import Forward, StepResult, TrainStep

_RATE_BATCH = 256  # pictures of a batch that the recipe's rates are of


class TaskOutput(nn.Module):
    """A network whose output is that of one task alone."""

    def __init__(self, net: StaticNet, task: str) -> None:
        super().__init__()
        self.net, self.task = net, task

    def forward(self, pictures_B3PP: Tensor) -> Tensor:
        """Return valence and arousal (B, 2), or logits (B, O)."""
        output = self.net(pictures_B3PP)
        if self.task == "va":
            affect_B2: Tensor = output.valence_arousal_B2
            return affect_B2
        assert output.expressions_BK is not None
        logits_BO: Tensor = output.expressions_BK
        return logits_BO


class UnfreezingStep(TrainStep[LabelledPictureBatch]):
    """A training step before which the layers of its epoch are opened.

    The model has no wrapper: DDP waits for the gradients of all parameters that were open when it was made.
    """

    open_layers: Callable[[int], int]  # opens those of a step, and returns how many parameters learn

    def run(self, step: int, micro_batches: Sequence[LabelledPictureBatch]) -> StepResult:
        """Run a step; its result tells beside the losses how many parameters learn."""
        learned = self.open_layers(step)
        statistics = StepStatistics(self.model)
        result = super().run(step, micro_batches)
        statistics.finish(skipped=result.skipped)
        return replace(result, parts={**result.parts, "learned_parameters": float(learned)})

    def average_gradients(self) -> None:
        """Average the gradients of the open layers over ranks. Collective."""
        if dist.get_world_size() == 1:
            return
        gradients = [each.grad for each in self.model.parameters() if each.grad is not None]
        packed = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(packed)
        packed /= dist.get_world_size()
        for gradient, part in zip(gradients, packed.split([each.numel() for each in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))


class StaticNetwork:
    """One of SUN's networks, from a local file or from weights that the seed draws."""

    def __init__(
        self, recipe: ImageFinetuneRecipe, static: StaticTraining, task: FrameLabelTask, start: Path | None
    ) -> None:
        """Make the network. Raises UserError for a start of another network."""
        self.recipe, self.static, self.task, self.options = recipe, static, task, recipe.options()
        self.config = StaticNetConfig(
            backbone=static.backbone,
            size_px=static.side_px,
            classes=0 if task.name == "va" else task.outputs,
            vit_output="cls" if self.options.vit_embedding == "class_token" else "imagenet_logits",
            hrnet_maps=self.options.hrnet_input,
            bounded=self.options.static_output == "tanh",
        )
        torch.manual_seed(recipe.seed)
        self.net = StaticNet.from_config(self.config)
        if start is not None:
            start_static_net(self.net, start, task.name)
        self.module = TaskOutput(self.net, task.name)

    @property
    def size_px(self) -> int:
        """Return the side of the pictures."""
        return self.config.size_px

    @property
    def augment(self) -> PictureChanges:
        """Return the changes of training pictures, by the protocol."""
        return PictureChanges(probability=self.static.change_probability, noise=self.options.noise_augmentation)

    @property
    def rates(self) -> dict[str, float]:
        """Return the rate of each parameter that learns at some time, by its name in the network."""
        highest = self.recipe.optim.base_lr * self.recipe.batch / _RATE_BATCH
        gradual = self.static.gradual_unfreezing
        if self.static.layer_rates:
            return static_rates(self.net, self.options, highest=highest, gradual_unfreezing=gradual)
        return {name: highest for name, parameter in self.net.named_parameters() if parameter.requires_grad}

    def seed_step(self, batch: LabelledPictureBatch) -> None:
        """Let dropout and stochastic depth depend on the step alone, so that a resumed run ends with the same bits."""
        torch.manual_seed(self.recipe.seed * 1_000_003 + batch.first_position)

    def make_step(
        self,
        context: DistributedContext,
        forward: Forward[LabelledPictureBatch],
        *,
        lengths: tuple[int, int],
        steps_per_epoch: int,
    ) -> TrainStep[LabelledPictureBatch]:
        """Return the step with the rates of layers, or of the position in the run, and with gradual unfreezing."""
        rates, highest = self.rates, self.recipe.optim.base_lr * self.recipe.batch / _RATE_BATCH
        for name, parameter in self.net.named_parameters():
            parameter.requires_grad_(name in rates)
        optimizer = adamw(self.module, self.recipe.optim, lambda name: rates[name.removeprefix("net.")] / highest)
        _start_state(optimizer)
        device = next(self.net.parameters()).device
        step = UnfreezingStep(
            self.module,
            optimizer,
            self._schedule(highest, lengths, steps_per_epoch),
            forward,
            clip_norm=self.recipe.optim.clip_norm,
            # fp16 gradients underflow without a scaled loss.
            scaler=torch.amp.GradScaler(device.type, enabled=self.recipe.precision.compute == "fp16"),
        )
        step.open_layers = lambda number: self._open(rates, number // steps_per_epoch)
        return step

    def _schedule(self, highest: float, lengths: tuple[int, int], steps_per_epoch: int) -> FunctionSchedule:
        """Return a constant rate beside rates of layers; else SUN's warm-up and wave of ten epochs."""
        steps, warmup_steps = lengths
        lowest = self.recipe.optim.min_lr * self.recipe.batch / _RATE_BATCH

        def wave(number: int) -> float:
            return warmup_then_epoch_cosine(
                number,
                steps_per_epoch=steps_per_epoch,
                highest=highest,
                lowest=lowest,
                warmup_from=min(self.options.warmup_start_rate, highest),
                warmup_steps=warmup_steps,
            )

        rate_of: Callable[[int], float] = (lambda number: highest) if self.static.layer_rates else wave
        return FunctionSchedule(peak=highest, end=lowest, warmup_steps=warmup_steps, steps=steps, rate_of=rate_of)

    def _open(self, rates: Mapping[str, float], epoch: int) -> int:
        """Let the parameters of an epoch learn, and no others; return how many values they have."""
        freeze_for_epoch(self.net, epoch, gradual_unfreezing=self.static.gradual_unfreezing)
        learned = 0
        for name, parameter in self.net.named_parameters():
            # A gradient of what the optimizer does not hold would cost time and change nothing.
            parameter.requires_grad_(parameter.requires_grad and name in rates)
            learned += parameter.numel() if parameter.requires_grad else 0
        return learned

    def describe(self) -> dict[str, Any]:
        """Return the layers, first to last, and the random changes of pictures.

        Each layer has its parameters and its rate, None where it never learns.
        """
        rates = self.rates
        layers = [
            {
                "layer": layer.size.name,
                "parameters": layer.size.parameters,
                "rate": next((rates[name] for name in layer.parameters if name in rates), None),
            }
            for layer in list_static_layers(self.net)
        ]
        return {"layers": layers, "changes": list(list_changes(self.augment))}

    def build(self) -> nn.Module:
        """Return another network of this size."""
        return TaskOutput(StaticNet.from_config(self.config), self.task.name)

    def save(self, folder: Path) -> None:
        """Write the network with its task. Raises UserError."""
        save_static_net(folder, self.net, self.config, task=self.task.name, outputs=list(self.task.classes))


def _start_state(optimizer: torch.optim.Optimizer) -> None:
    """Give each parameter the moments that AdamW would make at its first step.

    Layers that are not open yet have none; with them every checkpoint holds the same tensors, whatever its epoch.
    """
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            optimizer.state[parameter] = {
                "step": torch.zeros((), dtype=torch.float32, device=parameter.device),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }
