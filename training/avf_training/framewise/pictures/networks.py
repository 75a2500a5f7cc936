"""The networks that fine-tuning trains, behind one interface: a ViT of image MAE, or one of SUN's."""

from pathlib import Path
from typing import Any, Protocol

import torch
from avf_shards.errors import UserError
from torch import nn

from avf_training.distributed.context import DistributedContext
from avf_training.distributed.parallelize import wrap_ddp
from avf_training.framewise.labels.tasks import FrameLabelTask
from avf_training.framewise.models.image_files import read_image_model, save_image_model
from avf_training.framewise.models.image_vit import ImageFeatureModel, layer_scales
from avf_training.framewise.pictures.augment_config import PictureAugment, PictureChanges
from avf_training.framewise.pictures.finetune_recipe import ImageFinetuneRecipe
from avf_training.framewise.pictures.static_network import StaticNetwork
from avf_training.framewise.pictures.stream import LabelledPictureBatch
from avf_training.models.drop_path import drop_path_keys, set_drop_path_keys
from avf_training.models.pretrained import load_strict
from avf_training.trainer.stream_run import make_step
from avf_training.trainer.train_step import Forward, TrainStep

_HEAD_STD = 2e-5  # of a new head (MAE)


class PictureNetwork(Protocol):
    """A network of single pictures with its start weights, as the stage trains it."""

    @property
    def module(self) -> nn.Module:
        """Return the network: pictures (B, 3, P, P) to outputs of the task (B, O)."""

    @property
    def size_px(self) -> int:
        """Return P, the side of the pictures."""

    @property
    def augment(self) -> PictureAugment | PictureChanges:
        """Return how training pictures are changed at random."""

    def seed_step(self, batch: LabelledPictureBatch) -> None:
        """Let what is random in a forward pass depend on the pictures' positions alone."""

    def make_step(
        self,
        context: DistributedContext,
        forward: Forward[LabelledPictureBatch],
        *,
        lengths: tuple[int, int],
        steps_per_epoch: int,
    ) -> TrainStep[LabelledPictureBatch]:
        """Return the training step, whose model is as all ranks train it; `lengths`: steps, and those of warm-up."""

    def describe(self) -> dict[str, Any]:
        """Return what the identity of a run says of the network besides its recipe."""

    def build(self) -> nn.Module:
        """Return another network of the same size, whose forward pass can be counted."""

    def save(self, folder: Path) -> None:
        """Write the network as a new folder, which extractors load. Raises UserError where it exists."""


def make_network(recipe: ImageFinetuneRecipe, task: FrameLabelTask, start: Path | None) -> PictureNetwork:
    """Return the network of a recipe before the first step. Raises UserError, also for a ViT without a start."""
    if recipe.static is not None:
        return StaticNetwork(recipe, recipe.static, task, start)
    if start is None:
        raise UserError("the recipe's ViT starts from a model of image MAE; give --model MODEL")
    return ViTNetwork(recipe, task, start)


class ViTNetwork:
    """The encoder of image MAE with a head of its own."""

    def __init__(self, recipe: ImageFinetuneRecipe, task: FrameLabelTask, start: Path) -> None:
        """Take the start's encoder, and a head that the recipe's seed draws. Raises UserError.

        The norm behind a pre-trained encoder's blocks is left out: the mean of patches has one of its own, which is new
        where the start was not fine-tuned. A head of another task is new.
        """
        model_file = read_image_model(start)
        torch.manual_seed(recipe.seed)
        self.recipe, self.task = recipe, task
        self.module = ImageFeatureModel(model_file.config, task.outputs, "mean", recipe.drop_path)
        new = {
            name: value for name, value in self.module.state_dict().items() if name.startswith(("head.", "fc_norm."))
        }
        tensors = {name: value for name, value in model_file.encoder.items() if not name.startswith("norm.")}
        if model_file.values.get("task") != task.name:
            tensors = {name: value for name, value in tensors.items() if not name.startswith("head.")}
        load_strict(self.module, new | tensors, str(start))
        if "head.weight" not in tensors:
            nn.init.trunc_normal_(self.module.head.weight, std=_HEAD_STD)

    @property
    def size_px(self) -> int:
        """Return the side of the pictures."""
        return self.module.config.size_px

    @property
    def augment(self) -> PictureAugment:
        """Return how training pictures are cropped, mirrored and erased."""
        return self.recipe.augment or PictureAugment()

    def seed_step(self, batch: LabelledPictureBatch) -> None:
        """Give each picture the random numbers of its stochastic depth."""
        keys_B = drop_path_keys(self.recipe.seed, batch.first_position, len(batch))
        set_drop_path_keys(self.module, keys_B.to(batch.pixels_B3PP.device))

    def make_step(
        self,
        context: DistributedContext,
        forward: Forward[LabelledPictureBatch],
        *,
        lengths: tuple[int, int],
        steps_per_epoch: int,
    ) -> TrainStep[LabelledPictureBatch]:
        """Return the step with layer decay, of a copy on each rank (DDP)."""
        wrapped = wrap_ddp(self.module, context)
        scale = layer_scales(self.module, self.recipe.layer_decay).__getitem__
        return make_step(self.module, wrapped, forward, self.recipe, lengths=lengths, scale=scale)

    def describe(self) -> dict[str, Any]:
        """Return nothing: the recipe and the start say all."""
        return {}

    def build(self) -> nn.Module:
        """Return another model of this size."""
        return ImageFeatureModel(self.module.config, self.task.outputs)

    def save(self, folder: Path) -> None:
        """Write the model with its task. Raises UserError."""
        tensors, values = self.module.state_dict(), {"task": self.task.name, "outputs": list(self.task.classes)}
        save_image_model(folder, "image_features", self.module.config, tensors, **values)
