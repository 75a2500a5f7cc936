"""A batch of pre-training to its loss: input made on the device, the model under autocast, the loss in fp32."""

import torch
from torch import Tensor, nn

from avf_training.data.pretraining import PretrainingBatch, pretraining_input
from avf_training.loop import Forward
from avf_training.objectives.pretraining import pretraining_losses
from avf_training.recipe import PretrainRecipe


def pretraining_forward(recipe: PretrainRecipe) -> Forward[PretrainingBatch]:
    """The loss and its parts, as the recipe weighs them."""
    config, negatives = recipe.model_config(), recipe.contrastive.negatives

    def forward(model: nn.Module, batch: PretrainingBatch) -> tuple[Tensor, dict[str, Tensor]]:
        video, audio = pretraining_input(batch, config.geometry)
        with recipe.precision.autocast(video.device.type):
            out = model(video, audio, batch.masks)
        losses = pretraining_losses(out, video, audio, batch.masks, config, negatives)
        parts = {"video": losses.video, "audio": losses.audio}
        if losses.levels:
            parts["contrastive"] = torch.stack(losses.levels).sum()
        return losses.total, {name: part for name, part in parts.items() if part is not None}

    return forward
