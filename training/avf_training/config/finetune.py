"""Recipes of post-pre-training and fine-tuning (AVF-MAE++ Table 6; HiCMAE 4.1): YAML over one frozen dataclass."""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from avf_shards.errors import UserError
from avf_shards.settings.config import bind, describe_unknown_key, refuse
from avf_shards.text import shell_word

from avf_training.config.pretrain import (
    FOLDER,
    accumulation,
    apply_variant,
    describe_batch_norm_faults,
    recipe_settings,
    resolve_recipe,
)
from avf_training.config.run_settings import describe_run_faults
from avf_training.data.augment_config import AugmentConfig, MixConfig
from avf_training.models.config import HeadKind, Modalities, ModelConfig, Precision
from avf_training.models.low_rank_config import LoraConfig
from avf_training.models.presets import PRESETS, preset
from avf_training.tasks.catalog import Dataset, Metric
from avf_training.tasks.class_imbalance import ImbalanceConfig
from avf_training.trainer.optim_config import OptimConfig
from avf_training.trainer.run_folder import RUN, read_identity

LabelledStage = Literal["posttrain", "finetune"]
# Ways to select the epoch; see finetuning/model_selection.py.
SelectionProtocol = Literal["validation", "test_best", "last"]
PROTOCOLS: tuple[SelectionProtocol, ...] = ("validation", "test_best", "last")
PoolSetting = Literal["choose", "mean", "max", "top2", "noisy_or"]
DETECTION_SETTINGS = ("hop_s", "pool", "forged_share")  # that no other task has
# Settings that may change between two starts of a run, because they do not change its result.
FREE = ("workers", "threads", "log_every", "checkpoint_keep", "wandb", "activation_checkpointing")

# Settings that came later: left out of a run's identity where they have their default, so that runs of earlier versions
# go on.
_LATER = (
    "head",
    "hop_s",
    "pool",
    "forged_share",
    "imbalance",
    "score_test",
    "train_share",
    "frozen_layers",
    "average_decay",
    "patience",
    "lora",
    "calibrate",
)


@dataclass(frozen=True, kw_only=True)
class FinetuneRecipe:
    """Settings of post-pre-training and of fine-tuning."""

    model: str  # name of a preset
    batch: int  # different clips of one step of all ranks, each of which is in it `repeats` times
    micro_batch: int  # samples of one rank at once; gradients are accumulated up to the batch
    epochs: float  # passes over the training clips
    optim: OptimConfig  # AdamW and its schedule
    precision: Precision  # number types of the forward pass
    modalities: Modalities = "av"  # inputs of the model: av, a (audio) or v (video)
    layer_decay: float = 0.75  # factor on the learning rate for each layer below the last
    # Lowest layers that learn nothing: 1 is the embedding, then the encoders' blocks, then the fusion's.
    frozen_layers: int = 0
    lora: LoraConfig = field(default_factory=LoraConfig)  # small matrices that learn in place of the weights
    # Share of a moving average of the weights that stays at each step, such as 0.999. The average is then what is
    # scored, selected and saved. None: the weights themselves, as in the papers.
    average_decay: float | None = None
    # Evaluations without a better validation score after which the run ends; None: it takes all its steps.
    patience: int | None = None
    drop_path: float = 0.1  # largest rate of stochastic depth
    smoothing: float = 0.1  # label smoothing
    augment: AugmentConfig = field(default_factory=AugmentConfig)  # random changes of single clips
    mix: MixConfig = field(default_factory=MixConfig)  # mixup and cutmix of two clips
    imbalance: ImbalanceConfig = field(default_factory=ImbalanceConfig)  # against classes of very different size
    # Share of the training clips of each class that are learned from; those of a share are among those of a larger one,
    # whatever the seed. An epoch stays as long as without it, so that curves over amounts of data compare equal steps.
    train_share: float = 1.0
    repeats: int = 1  # samples of each clip in a step (repeated augmentation); the learning rate does not count them
    # linear, or detector: a head for deepfakes over the tokens in time of both encoders, in place of the fusion.
    head: HeadKind = "linear"
    # Detection: seconds from one window of a file to the next, how their probabilities become that of the file (choose:
    # as is best on the validation clips), and the share of a fake's training windows that lie on a forged segment.
    hop_s: float = 1.28
    pool: PoolSetting = "choose"
    forged_share: float = 0.5
    segments: int = 2  # windows of a clip that the test averages over; training and validation take one
    validation_share: float = 0.1  # of the training fold, to select the epoch by; with 0 the last epoch is selected
    evaluate_every: int = 1  # epochs between two evaluations
    # Score the test clips too, after each evaluated epoch. Off, a run takes less time and nothing can be selected by
    # them: the protocol `test_best`, which only serves the comparison with the papers, has no model.
    score_test: bool = True
    # Fit a temperature on the validation clips for each selected model: its probabilities then say how often it is
    # right. Off, probabilities are the softmax, as in the papers; the test averages them over the views of a clip.
    calibrate: bool = False
    select_by: Metric | None = None  # metric that selects the epoch; None: WAR, UF1 or PCC by the kind of task
    regression: Literal["mse", "l1", "ccc"] = "mse"  # loss of dimensions
    # Activation of dimensions: `range` keeps predictions in the range of the labels.
    activation: Literal["range", "none"] = "range"
    steps: int | None = None  # length of the run in place of `epochs`
    warmup_steps: int | None = None  # in place of `optim.warmup_epochs`
    seed: int = 0  # of new weights, the order of clips and every sampled parameter
    workers: int = 4  # data workers of each rank
    threads: int | None = None  # CPU threads of each rank; None leaves it to torch
    max_fault_share: float = 0.01  # share of unreadable clips above which the run stops
    # Clips that follow each other and that batch norm normalizes together; None: those of a micro-batch.
    batch_norm_clips: int | None = None
    activation_checkpointing: bool = False  # recompute activations in the backward pass, to save memory
    checkpoint_keep: int = 1  # how many of the newest checkpoints stay
    log_every: int = 10  # steps between two throughput reports
    nonfinite_limit: int = 20  # consecutive steps without a finite loss after which the run stops
    wandb: str | None = None  # project of Weights & Biases that is logged to as well
    variant: Mapping[str, Any] = field(default_factory=dict)  # fields of the preset that an ablation changes

    def __post_init__(self) -> None:
        unknown = describe_unknown_key("model", self.model, list(PRESETS), f"model {self.model!r}")
        counts = ("batch", "repeats", "segments", "evaluate_every", "checkpoint_keep", "log_every")
        refuse(
            (self.model not in PRESETS, unknown),
            *((getattr(self, name) < 1, f"{name} {getattr(self, name)} must be at least 1") for name in counts),
            (
                self.micro_batch < 2,
                f"micro_batch {self.micro_batch} leaves batch norm one value per channel; take at least 2",
            ),
            *describe_batch_norm_faults(self.batch_norm_clips, self.micro_batch),
            (not 0 < self.layer_decay <= 1, f"layer_decay {self.layer_decay} must be above 0 and at most 1"),
            (not 0 <= self.drop_path < 1, f"drop_path {self.drop_path} must be at least 0 and less than 1"),
            (not 0 <= self.smoothing <= 1, f"smoothing {self.smoothing} must lie between 0 and 1"),
            (not 0 <= self.validation_share <= 0.5, f"validation_share {self.validation_share} must be 0 to 0.5"),
            (not 0 < self.train_share <= 1, f"train_share {self.train_share:g} must be above 0 and at most 1"),
            (not self.hop_s > 0, f"hop_s {self.hop_s:g} must be above 0 seconds"),
            (not 0 <= self.forged_share <= 1, f"forged_share {self.forged_share:g} must be 0 to 1"),
            (
                self.head == "detector" and self.modalities != "av",
                f"head detector joins sound and video, and modalities are {self.modalities}; take head=linear",
            ),
            (self.frozen_layers < 0, f"frozen_layers {self.frozen_layers} must be at least 0"),
            (
                self.average_decay is not None and not 0 < self.average_decay < 1,
                f"average_decay {self.average_decay} must lie between 0 and 1, or be null",
            ),
            (self.patience is not None and self.patience < 1, f"patience {self.patience} must be at least 1, or null"),
            (
                self.patience is not None and not self.validation_share,
                "patience needs validation clips to see that scores stop rising; set validation_share above 0",
            ),
            (
                self.calibrate and not self.validation_share,
                "calibrate needs validation clips to fit a temperature on; set validation_share above 0",
            ),
            (self.epochs <= 0, f"epochs {self.epochs:g} must be above 0"),
            *describe_run_faults(self),
            (self.steps is not None and self.steps < 1, f"steps {self.steps} must be at least 1"),
        )

    def frozen(self) -> dict[str, Any]:
        """Return the settings that identify a run and may not change between two starts of it."""
        values = resolve_recipe(asdict(self), FREE)
        defaults = {each.name: _default(each) for each in fields(self) if each.name in _LATER}
        return {key: value for key, value in values.items() if key not in defaults or value != defaults[key]}

    def model_config(self) -> ModelConfig:
        """Return the preset with the modalities and the variant of this recipe."""
        return apply_variant(preset(self.model, self.modalities), self.variant)

    def selection_metric(self, data: Dataset) -> str:
        """Return the metric that selects the epoch: `select_by`, or else that of the kind of task.

        The authors select by accuracy (WAR).
        """
        if self.select_by is not None:
            return self.select_by
        return {"emotion": "WAR", "micro_expression": "UF1", "dimensions": "PCC", "detection": "AUC"}[data.task]

    def mixing(self, data: Dataset) -> MixConfig:
        """Return the mixing of clips: classes are mixed, dimensions are not, as in the authors' code.

        Nor are reals and fakes: a mixture of two real clips is a forged one.
        """
        mixes = data.task not in ("dimensions", "detection")
        return self.mix if mixes else MixConfig(mixup=0.0, cutmix=0.0, probability=0.0)

    @property
    def samples(self) -> int:
        """Samples of one step of all ranks."""
        return self.batch * self.repeats

    def accumulation(self, world: int) -> int:
        """Return the micro-batches of a step of each rank. Raises UserError if they do not fill the batch."""
        return accumulation(self.samples, self.micro_batch, world)


def changed_settings(recipe: FinetuneRecipe, names: Sequence[str]) -> list[str]:
    """Return which of these settings of a recipe do not have their default."""
    return [each.name for each in fields(recipe) if each.name in names and getattr(recipe, each.name) != _default(each)]


def _default(setting: "Field[Any]") -> Any:
    """Return the default of a field as a plain value."""
    return setting.default if setting.default_factory is MISSING else asdict(setting.default_factory())


def load_finetune_recipe(stage: LabelledStage, name: str, overrides: Sequence[str] = ()) -> FinetuneRecipe:
    """Return the recipe of that name in training/recipes/STAGE, or at that path, with `overrides` applied.

    Raises UserError.
    """
    return recipe_settings(name, FOLDER / stage, overrides).bind(FinetuneRecipe)


def recipe_from_frozen(frozen: Mapping[str, Any]) -> FinetuneRecipe:
    """Return the recipe of a run from its frozen values; free settings have their defaults."""
    return bind(FinetuneRecipe, frozen)


def identity_of_run(folder: Path) -> dict[str, Any]:
    """Return the run.json of a fine-tuning run. Raises UserError where the folder holds no such run."""
    if not (folder / RUN).is_file():
        raise UserError(f"{folder}: holds no run (no {RUN}); avf-train finetune --out {shell_word(folder)} makes one")
    values = read_identity(folder)
    if "data" not in values:
        raise UserError(f"{folder}: is a run of another stage; name the folder of a fine-tuning run")
    return values
