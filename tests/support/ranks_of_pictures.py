"""Fine-tune a narrow EfficientNet on pictures: SHARDS RUN SETTING..., in as many processes as torchrun starts."""

import sys
from pathlib import Path

import pytest
from avf_training.data.storage import StorageConfig
from avf_training.framewise.labels.tasks import find_task
from avf_training.framewise.models import static_nets
from avf_training.framewise.pictures.finetune_recipe import load_image_finetune_recipe
from avf_training.framewise.pictures.finetuning import finetune_images
from avf_training.framewise.pictures.shard_labels import read_labelled_shards

from support.narrow_networks import narrow_efficientnet


def run(shards: str, out: str, *settings: str) -> None:
    """Train as `avf-train finetune-images` does."""
    recipe = load_image_finetune_recipe("sun_b1", settings)
    pictures = read_labelled_shards([shards], find_task("va"), StorageConfig())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(static_nets, "efficientnet_b1", narrow_efficientnet)
        finetune_images(recipe, pictures, None, Path(out))


if __name__ == "__main__":
    run(*sys.argv[1:])
