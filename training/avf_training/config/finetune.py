"""Recipes of post-pre-training and fine-tuning (AVF-MAE++ Table 6; HiCMAE 4.1): YAML over one frozen dataclass."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from avf_shards.config import bind, unknown_key

from avf_training.config.pretrain import FOLDER, accumulation, apply_variant, recipe_values, resolve_recipe
from avf_training.data.augment import AugmentConfig
from avf_training.data.mixing import MixConfig
from avf_training.models.config import Modalities, ModelConfig
from avf_training.models.precision import Precision
from avf_training.models.presets import PRESETS, preset
from avf_training.tasks.catalog import Dataset, Metric
from avf_training.trainer.optimizer import OptimConfig

Stage = Literal["posttrain", "finetune"]
# What may change between two starts of a run.
FREE = ("workers", "threads", "log_every", "checkpoint_keep", "wandb")


@dataclass(frozen=True, kw_only=True)
class FinetuneRecipe:
    """model: a preset. batch: clips of a step of all processes, in micro-batches of one process. layer_decay: factor on
    the rate for each layer below the last. repeats: draws of each clip in an epoch (repeated augmentation). segments:
    windows of a clip whose answers are averaged in the last test; in between, one is taken.

    validation_share: of the training fold, kept out to choose the epoch by; with 0 the last epoch is the choice, and
    `test_best` is what the papers report. select_by: metric that chooses; None: WAR, UF1 or PCC by the task.
    regression: loss of dimensions. activation: of dimensions, `range` keeps answers inside the labels' range. variant:
    fields of the preset that are changed, for ablations.
    """

    model: str
    batch: int
    micro_batch: int
    epochs: float
    optim: OptimConfig
    precision: Precision
    modalities: Modalities = "av"
    layer_decay: float = 0.75
    drop_path: float = 0.1
    smoothing: float = 0.1
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    mix: MixConfig = field(default_factory=MixConfig)
    repeats: int = 1
    segments: int = 2
    validation_share: float = 0.1
    evaluate_every: int = 1
    select_by: Metric | None = None
    regression: Literal["mse", "l1", "ccc"] = "mse"
    activation: Literal["range", "none"] = "range"
    steps: int | None = None
    warmup_steps: int | None = None
    seed: int = 0
    workers: int = 4
    threads: int | None = None
    max_fault_share: float = 0.01
    activation_checkpointing: bool = False
    checkpoint_keep: int = 1
    log_every: int = 10
    nonfinite_limit: int = 20
    wandb: str | None = None
    variant: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.model not in PRESETS:
            raise ValueError(unknown_key("model", self.model, list(PRESETS), f"model {self.model!r}"))
        for name in ("batch", "repeats", "segments", "evaluate_every", "checkpoint_keep", "log_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} {getattr(self, name)} must be at least 1")
        if self.micro_batch < 2:
            raise ValueError("micro_batch 1 leaves batch norm one value per channel; take at least 2")
        for name in ("layer_decay", "drop_path", "smoothing", "validation_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} {getattr(self, name)} must lie between 0 and 1")
        if self.layer_decay == 0 or self.validation_share > 0.5:
            raise ValueError("layer_decay must be above 0 and validation_share at most 0.5")
        if self.epochs <= 0 or (self.steps is not None and self.steps < 1):
            raise ValueError("epochs must be above 0, steps at least 1")

    def frozen(self) -> dict[str, Any]:
        """What makes a run this run, and may not change between two starts of it."""
        return resolve_recipe(asdict(self), FREE)

    def model_config(self) -> ModelConfig:
        """The preset with the modalities that are used."""
        return apply_variant(preset(self.model, self.modalities), self.variant)

    def selection_metric(self, data: Dataset) -> str:
        """Return the metric that selects the epoch: `select_by`, or the task's (the authors take the accuracy)."""
        if self.select_by is not None:
            return self.select_by
        return {"emotion": "WAR", "micro_expression": "UF1", "dimensions": "PCC"}[data.task]

    def mixing(self, data: Dataset) -> MixConfig:
        """Classes are mixed; numbers are not, as the authors have it."""
        return MixConfig(mixup=0.0, cutmix=0.0, probability=0.0) if data.task == "dimensions" else self.mix

    def accumulation(self, world: int) -> int:
        """Micro-batches of one step of each of `world` processes. Raises UserError when they do not fill the batch."""
        return accumulation(self.batch, self.micro_batch, world)


def load_finetune_recipe(stage: Stage, name: str, overrides: Sequence[str] = ()) -> FinetuneRecipe:
    """The recipe of that name in training/recipes/STAGE, or at that path, then `overrides`. Raises UserError."""
    return bind(FinetuneRecipe, recipe_values(name, FOLDER / stage, overrides))


def recipe_from_frozen(frozen: Mapping[str, Any]) -> FinetuneRecipe:
    """The recipe of a run again; what is free has its default."""
    return bind(FinetuneRecipe, frozen)
