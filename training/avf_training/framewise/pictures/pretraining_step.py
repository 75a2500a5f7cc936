"""The two parts of a step of image MAE: its batches, and the forward pass from a batch to the loss."""

from pathlib import Path

from avf_shards.sampling.stream_order import StreamOrder
from torch import Tensor, nn

from avf_training.data.loader import StreamLoader
from avf_training.data.ordered_stream import StreamConfig
from avf_training.distributed.context import DistributedContext
from avf_training.framewise.models.image_mae import hidden_patches_loss
from avf_training.framewise.pictures.pretrain_recipe import ImagePretrainRecipe
from avf_training.framewise.pictures.shards import PictureShards
from avf_training.framewise.pictures.stream import MaskedPictureBatch, MaskingSampler, PictureStream
from avf_training.trainer.train_step import Forward


def make_picture_loader(
    recipe: ImagePretrainRecipe, shards: PictureShards, context: DistributedContext, out: Path
) -> StreamLoader[MaskedPictureBatch]:
    """Return the loader of this rank's micro-batches; its delivery log and its quarantine are written to `out`."""
    size = recipe.model_config()
    config = StreamConfig(
        shards=shards.shards[0],
        batch=recipe.micro_batch * context.size,  # one step of the stream is a micro-batch of all ranks
        seed=recipe.seed,
        mix=recipe.mix,
        max_fault_share=recipe.max_fault_share,
        storage=shards.storage,
    )
    sampler = MaskingSampler(size_px=size.size_px, patches=size.grid**2, augment=recipe.augment)
    order = StreamOrder(shards.corpus, recipe.mix, recipe.seed)
    stream = PictureStream(config, sampler, (order, shards), context.size, context.rank)
    return StreamLoader(
        stream,
        workers=recipe.workers,
        device=context.device,
        quarantine=out / "quarantine.jsonl",
        delivery_log=out / "delivery.jsonl",
    )


def masked_forward(recipe: ImagePretrainRecipe) -> Forward[MaskedPictureBatch]:
    """Return the function from a batch to the error on its hidden patches, computed in single precision."""
    patch_px, norm_pix = recipe.model_config().patch_px, recipe.options().mae_norm_pix == "on"

    def forward(model: nn.Module, batch: MaskedPictureBatch) -> tuple[Tensor, dict[str, Tensor]]:
        pictures_B3PP = batch.normalized()
        with recipe.precision.autocast(pictures_B3PP.device.type):
            masked = model(pictures_B3PP, batch.order_BL, recipe.mask_ratio)
        masked = masked._replace(prediction_BLP=masked.prediction_BLP.float(), mask_BL=masked.mask_BL.float())
        return hidden_patches_loss(masked, pictures_B3PP, patch_px, norm_pix=norm_pix), {}

    return forward
