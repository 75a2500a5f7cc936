"""Recipes of image MAE: YAML over one frozen dataclass, each value with its source in training/recipes."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from avf_shards.sampling.mixture import Mixture
from avf_shards.settings.config import bind, describe_unknown_key, merge, refuse

from avf_training.config.pretrain import FOLDER, accumulation, recipe_settings
from avf_training.config.run_settings import describe_run_faults
from avf_training.distributed.environment import Parallel
from avf_training.framewise.models.image_sizes import IMAGE_PRESETS, ImageViTConfig
from avf_training.framewise.pictures.augment_config import PictureAugment
from avf_training.framewise.protocol import ProtocolOptions, choose_protocol
from avf_training.models.config import Precision
from avf_training.trainer.optim_config import OptimConfig

# Settings that may change between two starts of a run, because they do not change its result: each picture has as many
# hidden patches as any other, so a mean over micro-batches is that over the batch.
FREE = (
    *("micro_batch", "workers", "threads", "log_every", "checkpoint_every", "checkpoint_keep", "eval_every", "wandb"),
    *("parallel", "activation_checkpointing", "compile"),
)
RECIPES = "pretrain_images"  # folder of the recipes in training/recipes


@dataclass(frozen=True, kw_only=True)
class ImagePretrainRecipe:
    """Settings of a run of `avf-train pretrain-images`."""

    model: str  # name of a size: b, l, h or small
    batch: int  # pictures of one step of all ranks
    micro_batch: int  # pictures of one rank at once; gradients are accumulated up to the batch
    epochs: float  # passes over the mixture
    optim: OptimConfig  # AdamW and its schedule
    precision: Precision  # number types of the forward pass
    checkpoint_every: int  # steps between two checkpoints
    checkpoint_keep: int  # how many of the newest checkpoints stay
    mask_ratio: float = 0.75  # share of the patches that is hidden
    augment: PictureAugment = field(default_factory=PictureAugment)  # random changes of a picture
    protocol: str = "ours"  # or authors_code; see framewise/protocol.py
    protocol_options: Mapping[str, str | float] = field(default_factory=dict)  # single ones, such as mae_norm_pix
    mix: Mixture = field(default_factory=Mixture)  # weights or quotas of the sources
    steps: int | None = None  # length of the run in place of `epochs`
    warmup_steps: int | None = None  # in place of `optim.warmup_epochs`
    seed: int = 0  # of the weights, the stream order and every sampled parameter
    workers: int = 4  # data workers of each rank
    max_fault_share: float = 0.01  # share of unreadable pictures above which the run stops
    activation_checkpointing: bool = False  # recompute activations in the backward pass, to save memory
    compile: bool = False  # torch.compile
    parallel: Parallel = "ddp"  # ddp copies the model to each rank, fsdp (FSDP2) shards every block
    log_every: int = 10  # steps between two throughput reports
    eval_every: int = 1000  # steps between two evaluations with a figure of reconstructions; 0: never
    wandb: str | None = None  # project of Weights & Biases that is logged to as well
    nonfinite_limit: int = 20  # consecutive steps without a finite loss after which the run stops
    threads: int | None = None  # CPU threads of each rank; None leaves it to torch
    variant: Mapping[str, Any] = field(default_factory=dict)  # fields of the size that are changed

    def __post_init__(self) -> None:
        unknown = describe_unknown_key("model", self.model, list(IMAGE_PRESETS), f"model {self.model!r}")
        counts = ("batch", "micro_batch", "log_every", "checkpoint_every", "checkpoint_keep")
        untried = self.compile and self.parallel == "fsdp"
        refuse(
            (self.model not in IMAGE_PRESETS, unknown),
            *((getattr(self, name) < 1, f"{name} {getattr(self, name)} must be at least 1") for name in counts),
            (not 0 < self.mask_ratio < 1, f"mask_ratio {self.mask_ratio} must lie between 0 and 1"),
            (untried, "compile and parallel: fsdp have not been tried together; take one of them"),
            (self.steps is not None and self.steps < 1, f"steps {self.steps} must be at least 1"),
            (self.epochs <= 0, f"epochs {self.epochs:g} must be above 0"),
            *describe_run_faults(self),
            (self.eval_every < 0, f"eval_every {self.eval_every} must be at least 0"),
        )

    def frozen(self) -> dict[str, Any]:
        """Return the settings that identify a run and may not change between two starts of it."""
        return {name: value for name, value in asdict(self).items() if name not in FREE}

    def model_config(self) -> ImageViTConfig:
        """Return the size with this recipe's changes. Raises UserError for an unknown field."""
        size = IMAGE_PRESETS[self.model]
        return bind(ImageViTConfig, merge(asdict(size), self.variant), "variant") if self.variant else size

    def options(self) -> ProtocolOptions:
        """Return what the protocol says. Raises UserError for an unknown option or value."""
        return choose_protocol(self.protocol, self.protocol_options)

    def accumulation(self, world: int) -> int:
        """Return the micro-batches of a step of each rank. Raises UserError if they do not fill the batch."""
        return accumulation(self.batch, self.micro_batch, world)


def load_image_recipe(name: str, overrides: Sequence[str] = ()) -> ImagePretrainRecipe:
    """Return the recipe of that name in training/recipes/pretrain_images, or at that path, with `overrides` applied.

    Raises UserError, also for a protocol or a size that there is not.
    """
    recipe = recipe_settings(name, FOLDER / RECIPES, overrides).bind(ImagePretrainRecipe)
    recipe.options()
    recipe.model_config()
    return recipe
