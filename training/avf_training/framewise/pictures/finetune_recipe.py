"""Recipes that fine-tune an image model to an extractor of features: YAML over one frozen dataclass."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from avf_shards.settings.config import refuse

from avf_training.config.pretrain import FOLDER, accumulation, recipe_settings
from avf_training.config.run_settings import describe_run_faults
from avf_training.framewise.pictures.augment_config import PictureAugment
from avf_training.framewise.pictures.static_config import StaticTraining
from avf_training.framewise.protocol import ProtocolOptions, choose_protocol
from avf_training.models.config import Precision
from avf_training.trainer.optim_config import OptimConfig

# Settings that may change between two starts of a run, because they do not change its result. The micro-batch is none
# of them: concordance and weighted means are of what is computed at once.
FREE = ("workers", "threads", "log_every", "checkpoint_keep", "wandb")
RECIPES = "finetune_images"  # folder of the recipes in training/recipes

DimensionLoss = Literal["concordance", "log_cosh", "rmse", "rse"]
"""Loss of valence and arousal: 1 - CCC of both; or the mean over both of log(cosh(error)), of the root of the mean
square error, or of the squared error relative to that of the mean."""
PictureWeights = Literal["training", "netease", "none"]
"""Weights of expressions and action units in the loss: most common over each in the training pictures, NetEase's
figures for Aff-Wild2, or 1."""


@dataclass(frozen=True, kw_only=True)
class ImageFinetuneRecipe:
    """Settings of a run of `avf-train finetune-images`."""

    batch: int  # pictures of one step of all ranks
    micro_batch: int  # pictures of one rank at once, over which concordance is taken
    epochs: float  # passes over the training pictures
    optim: OptimConfig  # AdamW and its schedule
    precision: Precision  # number types of the forward pass
    layer_decay: float = 0.65  # of ViT: factor on the learning rate for each layer below the head
    drop_path: float = 0.1  # of ViT: largest rate of stochastic depth
    static: StaticTraining | None = None  # one of SUN's networks in place of the ViT of image MAE
    dimension_loss: DimensionLoss = "concordance"  # of the task va
    expression_loss: Literal["cross_entropy", "focal"] = "cross_entropy"  # of the task expr
    augment: PictureAugment | None = None  # of ViT: random changes of a picture; None: those of its pre-training
    class_weights: PictureWeights = "training"  # of expressions and action units in the loss
    validation_share: float = 0.1  # of the persons, where the owners made no validation set
    evaluate_every: int = 1  # epochs between two evaluations
    patience: int | None = None  # evaluations without a better score after which the run ends; None: it takes all steps
    protocol: str = "ours"  # or authors_code; see framewise/protocol.py
    protocol_options: Mapping[str, str | float] = field(default_factory=dict)  # single ones, such as clamp_in_loss
    steps: int | None = None  # length of the run in place of `epochs`
    warmup_steps: int | None = None  # in place of `optim.warmup_epochs`
    seed: int = 0  # of the head, the stream order and every sampled parameter
    workers: int = 4  # data workers of each rank
    max_fault_share: float = 0.01  # share of unreadable pictures above which the run stops
    checkpoint_keep: int = 1  # how many of the newest checkpoints stay
    log_every: int = 10  # steps between two throughput reports
    nonfinite_limit: int = 20  # consecutive steps without a finite loss after which the run stops
    wandb: str | None = None  # project of Weights & Biases that is logged to as well
    threads: int | None = None  # CPU threads of each rank; None leaves it to torch

    def __post_init__(self) -> None:
        counts = ("batch", "evaluate_every", "checkpoint_keep", "log_every")
        refuse(
            *((getattr(self, name) < 1, f"{name} {getattr(self, name)} must be at least 1") for name in counts),
            (self.micro_batch < 2, f"micro_batch {self.micro_batch} has no concordance; take at least 2"),
            (not 0 < self.layer_decay <= 1, f"layer_decay {self.layer_decay} must be above 0 and at most 1"),
            (not 0 <= self.drop_path < 1, f"drop_path {self.drop_path} must be at least 0 and less than 1"),
            (
                not 0 < self.validation_share <= 0.5,
                f"validation_share {self.validation_share} must be above 0, up to 0.5",
            ),
            (
                self.static is not None and self.augment is not None,
                "augment is of ViT; the pictures of a static network are changed by static.change_probability",
            ),
            (self.epochs <= 0, f"epochs {self.epochs:g} must be above 0"),
            (self.patience is not None and self.patience < 1, f"patience {self.patience} must be at least 1, or null"),
            (self.steps is not None and self.steps < 1, f"steps {self.steps} must be at least 1"),
            *describe_run_faults(self),
        )

    def frozen(self) -> dict[str, Any]:
        """Return the settings that identify a run and may not change between two starts of it."""
        return {name: value for name, value in asdict(self).items() if name not in FREE}

    def options(self) -> ProtocolOptions:
        """Return what the protocol says. Raises UserError for an unknown option or value."""
        return choose_protocol(self.protocol, self.protocol_options)

    def accumulation(self, world: int) -> int:
        """Return the micro-batches of a step of each rank. Raises UserError if they do not fill the batch."""
        return accumulation(self.batch, self.micro_batch, world)


def load_image_finetune_recipe(name: str, overrides: Sequence[str] = ()) -> ImageFinetuneRecipe:
    """Return the recipe of that name in training/recipes/finetune_images, or at that path, with `overrides` applied.

    Raises UserError, also for a protocol that there is not.
    """
    recipe = recipe_settings(name, FOLDER / RECIPES, overrides).bind(ImageFinetuneRecipe)
    recipe.options()
    return recipe
