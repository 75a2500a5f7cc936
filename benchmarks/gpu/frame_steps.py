"""Training steps of the frame-level side on batches that stay on the device.

Shapes: B pictures or clips, P side of a picture, O outputs.
"""

from collections.abc import Callable

import torch
from avf_training.distributed.context import DistributedContext
from avf_training.framewise.labels.tasks import find_task
from avf_training.framewise.losses import valence_arousal_loss, weighted_expression_loss
from avf_training.framewise.models.fusion_transformer import CLIP_FRAMES, FusionTransformer
from avf_training.framewise.models.image_sizes import IMAGE_PRESETS
from avf_training.framewise.models.image_vit import ImageFeatureModel, layer_scales
from avf_training.framewise.pictures.finetune_recipe import ImageFinetuneRecipe, load_image_finetune_recipe
from avf_training.framewise.pictures.static_network import StaticNetwork
from avf_training.framewise.pictures.stream import LabelledPictureBatch
from avf_training.models.drop_path import drop_path_keys, set_drop_path_keys
from avf_training.models.precision import set_numerics
from avf_training.trainer.stream_run import make_step
from avf_training.trainer.train_step import Forward
from torch import Tensor, nn

from benchmarks.gpu.settings import Settings

Step = tuple[Callable[[], object], int]
"""The step, and the pictures or clips of its batch."""

_LENGTHS = (10_000, 10)  # steps of a run, and those of them in which the rate rises
_VISUAL, _AUDIO = 3840, 896  # values of NetEase's five visual tracks, and of hubert and vggish


def random_pixels(batch: int, side_px: int, device: str) -> Tensor:
    """Return random pixels on the device, (B, 3, P, P)."""
    generator = torch.Generator(device).manual_seed(0)
    shape = (batch, 3, side_px, side_px)
    return torch.randint(0, 256, shape, dtype=torch.uint8, device=device, generator=generator)


def labelled_batch(batch: int, side_px: int, device: str) -> LabelledPictureBatch:
    """Return random pictures with expressions in turn."""
    return LabelledPictureBatch(
        first_position=0,
        keys=tuple(map(str, range(batch))),
        sources=("random",) * batch,
        faults=(),
        pixels_B3PP=random_pixels(batch, side_px, device),
        values_BK=(torch.arange(batch, device=device) % 8).float()[:, None],
    )


def extractor_step(size: str, batch: int, compute: str, device: str) -> Step:
    """Return a step of the extractor of a size on expressions, by the recipe of fine-tuning."""
    recipe = _recipe("image_features", batch, compute)
    config = IMAGE_PRESETS[size]
    with torch.device(device):
        model = ImageFeatureModel(config, 8, "mean", recipe.drop_path).to(device).train()
    set_drop_path_keys(model, drop_path_keys(0, 0, batch).to(device))
    scale = layer_scales(model, recipe.layer_decay).__getitem__
    step = make_step(model, model, _forward(recipe), recipe, lengths=_LENGTHS, scale=scale)
    pictures = labelled_batch(batch, config.size_px, device)
    return lambda: step.run(20, [pictures]), batch


def static_step(name: str, compute: str, settings: Settings) -> Step:
    """Return a step of one of SUN's networks on expressions, all layers learning."""
    size = ("static.size_px=32", "batch=4", "micro_batch=4") if settings.tiny else ()
    unfrozen = ("static.gradual_unfreezing=false", "static.layer_rates=false", f"precision.compute={compute}")
    recipe = load_image_finetune_recipe(name, (*unfrozen, *size))
    set_numerics(None, recipe.precision)
    assert recipe.static is not None
    with torch.device(settings.device):
        network = StaticNetwork(recipe, recipe.static, find_task("expr"), None)
    network.module.to(settings.device).train()
    context = DistributedContext(size=1, rank=0, device=torch.device(settings.device))
    step = network.make_step(context, _forward(recipe), lengths=_LENGTHS, steps_per_epoch=1000)
    pictures = labelled_batch(recipe.micro_batch, network.size_px, settings.device)
    return lambda: step.run(20, [pictures]), recipe.micro_batch


def fusion_step(clips: int, device: str) -> Step:
    """Return a step of NetEase's transformer on clips of 100 frames of all their features."""
    model = FusionTransformer("va", visual_width=_VISUAL, audio_width=_AUDIO).to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4)
    visual, audio, truth = (
        torch.randn(clips, CLIP_FRAMES, width, device=device).tanh() for width in (_VISUAL, _AUDIO, 2)
    )

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        valence_arousal_loss(model(visual, audio), truth).backward()
        optimizer.step()

    return step, clips


def _recipe(name: str, batch: int, compute: str) -> ImageFinetuneRecipe:
    numbers = (f"batch={batch}", f"micro_batch={batch}", f"precision.compute={compute}")
    recipe = load_image_finetune_recipe(name, numbers)
    set_numerics(None, recipe.precision)
    return recipe


def _forward(recipe: ImageFinetuneRecipe) -> Forward[LabelledPictureBatch]:
    def forward(model: nn.Module, batch: LabelledPictureBatch) -> tuple[Tensor, dict[str, Tensor]]:
        pictures_B3PP = batch.normalized()
        with recipe.precision.autocast(pictures_B3PP.device.type):
            logits_BO = model(pictures_B3PP)
        return weighted_expression_loss(logits_BO.float(), batch.values_BK[:, 0].long()), {}

    return forward
