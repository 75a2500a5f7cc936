"""Recipes of sequence models on feature tracks: YAML over one frozen dataclass. Without torch."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from avf_shards.errors import UserError
from avf_shards.settings.config import bind, refuse

from avf_training.config.pretrain import FOLDER, recipe_settings
from avf_training.config.run_settings import describe_run_faults
from avf_training.framewise.ensemble.kernel_elm import EXACT_ROWS, LANDMARKS, PENALTIES, Kernel
from avf_training.framewise.protocol import ProtocolName, ProtocolOptions, choose_protocol
from avf_training.framewise.sampling.functionals import Functional
from avf_training.framewise.sampling.hard_clips import HARD_SHARE

FrameModelName = Literal[
    "temporal",
    "temporal_v1",
    "temporal_v3",
    "temporal_v4",
    "temporal_v5",
    "temporal_v6",
    "temporal_v7",
    "temporal_v8",
    "cross_attention",
    "fusion_transformer",
    "fusion_two_branches",
    "kernel_elm",
]
"""`temporal` is the version that the protocol names, v3; `fusion_two_branches` has NetEase's second branch."""
CLIP_MODELS = ("fusion_transformer", "fusion_two_branches")
"""Models of windows of frames; those of the others are of five rows a second."""
FRAME_RECIPES = FOLDER / "frames"
FREE = ("base", "threads", "rows_in", "log_every", "checkpoint_keep", "wandb")
"""Settings that may change between two starts of a run, because they do not change its result; `base` may move."""
Normalization = Literal["none", "min_max", "standard", "video_min_max", "video_standard"]
RateSchedule = Literal["warmup_cosine", "restarts", "run_cosine", "triangle", "constant"]


@dataclass(frozen=True, kw_only=True)
class ElmRecipe:
    """What is tried for functionals and the kernel ELM; kernel and C are those that score best in validation."""

    kernels: tuple[Kernel, ...] = ("rbf",)
    penalties: tuple[float, ...] = PENALTIES  # values of C
    functionals: tuple[Functional, ...] = ("mean", "min", "max")  # of each window, behind each other
    exact_rows: int = EXACT_ROWS  # most windows with a kernel matrix of their own; Nystroem's method above
    landmarks: int = LANDMARKS  # windows that stand for all others there


@dataclass(frozen=True, kw_only=True)
class FrameRecipe:
    """Settings of a sequence model on feature tracks."""

    model: FrameModelName  # which model
    visual: tuple[str, ...]  # extractors whose tracks are looked at, in order; of cross-attention two
    audio: tuple[str, ...] = ()  # extractors whose tracks are listened to
    protocol: ProtocolName = "ours"  # what is done where papers and released code contradict each other
    protocol_options: Mapping[str, Any] = field(default_factory=dict)  # single ones of the 32 that differ from it
    # Rows of a window: at five a second for temporal models and cross-attention; frames for the fusion transformer.
    window: int = 30
    stride: int | None = None  # rows between windows; None: half a window, and a whole one for the fusion transformer
    overlap: Literal["mean", "last"] = "mean"  # prediction of a row that several windows hold
    # Scale of each feature: fitted on the training videos, or on each video by itself.
    normalization: Normalization = "none"
    mask_padding: bool = True  # rows of padding are seen by no other row, where the model can leave them out
    # Classes in the loss: alike, by their frames in the training set, or by NetEase's numbers for Aff-Wild2.
    class_weights: Literal["none", "training_set", "netease"] = "training_set"
    expression_loss: Literal["cross_entropy", "focal"] = "cross_entropy"  # of the task expr
    batch: int = 64  # windows of a step
    # Windows that go through the model together, with dropout and batch norm of their own; processes of torchrun share
    # a batch by these. The loss is that of the whole batch. None: the whole batch, in one process.
    micro_batch: int | None = None
    epochs: int = 100  # passes over the training windows
    steps: int | None = None  # length of the run in place of `epochs`
    evaluate_every: int = 1  # epochs between two evaluations
    patience: int | None = 10  # evaluations without a better score after which the run ends; None: it takes all steps
    # Valence and arousal each from the epoch that is best in it, as the SUN team did, or both from the best mean.
    select: Literal["mean", "apart"] = "mean"
    schedule: RateSchedule | None = None  # of the learning rate; None: the model's own, by the protocol
    rate: float = 0.005  # highest learning rate
    lowest_rate: float = 1e-4  # to which it falls
    warmup_steps: int = 100  # of `warmup_cosine`
    weight_decay: float = 1e-4  # of AdamW
    betas: tuple[float, float] = (0.9, 0.999)  # its decay rates of the moment estimates
    clip_norm: float | None = None  # largest norm of the gradient; None does not clip
    hidden: tuple[int, int, int] = (256, 128, 64)  # widths of the fusion transformer
    # Finished run of fusion_transformer, whose best model is the frozen branch of fusion_two_branches.
    base: str | None = None
    hard_share: float = HARD_SHARE  # of all clips, those with the largest loss of that branch, for the other branch
    joining: Literal["concat", "mean", "mean_std"] = "mean_std"  # of the two streams of cross-attention
    elm: ElmRecipe = field(default_factory=ElmRecipe)  # of kernel_elm
    # `all`: validation videos are trained on too, as for a model whose predictions go into an ensemble; then the last
    # step is taken, as no score of a video never seen can choose one.
    train_on: Literal["train", "all"] = "train"
    fold: int | None = None  # of five grouped folds of training and validation videos; None: the owners' sets
    fold_seed: int = 0  # by which they are drawn
    scene: Literal["reaction", "other"] | None = None  # train on videos of this scene alone; None: on all
    missing_tracks: Literal["refuse", "skip"] = "refuse"  # a labelled video without a track
    seed: int = 0  # of weights, order and dropout
    # Where the rows of all tracks are while training: `disk`, in files without a name beside the run that go with the
    # process, of which the system keeps in memory what fits; or `memory`.
    rows_in: Literal["disk", "memory"] = "disk"
    threads: int | None = None  # CPU threads; None leaves it to torch
    checkpoint_keep: int = 1  # how many of the newest checkpoints stay
    log_every: int = 50  # steps between two throughput reports
    nonfinite_limit: int = 20  # consecutive steps without a finite loss after which the run stops
    wandb: str | None = None  # project of Weights & Biases that is logged to as well

    def __post_init__(self) -> None:
        counts = ("window", "batch", "epochs", "evaluate_every", "checkpoint_keep", "log_every")
        seconds = self.model in ("temporal_v6", "temporal_v7", "temporal_v8")
        crossed = self.model == "cross_attention"
        refuse(
            *((getattr(self, name) < 1, f"{name} {getattr(self, name)} must be at least 1") for name in counts),
            (not self.visual, "visual names no extractor; name at least one whose tracks are there"),
            (len({*self.visual, *self.audio}) < len(self.visual) + len(self.audio), "visual and audio name one twice"),
            (seconds and self.window % 5 > 0, f"window {self.window} must be whole seconds of 5 rows for {self.model}"),
            (crossed and len(self.visual) != 2, "visual of cross_attention is two tracks: of valence and of arousal"),
            (crossed and not self.audio, "audio of cross_attention names no extractor"),
            (self.stride is not None and self.stride < 1, f"stride {self.stride} must be at least 1, or null"),
            (self.steps is not None and self.steps < 1, f"steps {self.steps} must be at least 1, or null"),
            (self.patience is not None and self.patience < 1, f"patience {self.patience} must be at least 1, or null"),
            (
                self.micro_batch is not None and (self.micro_batch < 1 or self.batch % self.micro_batch > 0),
                f"micro_batch {self.micro_batch} must divide the batch of {self.batch}, or be null",
            ),
            (self.rate <= 0, f"rate {self.rate} must be above 0"),
            (not 0 <= self.lowest_rate <= self.rate, f"lowest_rate {self.lowest_rate} must lie between 0 and rate"),
            (
                self.train_on == "all" and (self.fold is not None or self.model == "kernel_elm"),
                "train_on all leaves no video to choose by: it needs a model of epochs, and no fold",
            ),
            (not 0 < self.hard_share <= 1, f"hard_share {self.hard_share} must be above 0 and at most 1"),
            (self.fold is not None and not 1 <= self.fold <= 5, f"fold {self.fold} must be 1 to 5, or null"),
            (not self.elm.penalties or min(self.elm.penalties) <= 0, "elm.penalties must be numbers above 0"),
            *describe_run_faults(self),
            (self.elm.exact_rows < 1, f"elm.exact_rows {self.elm.exact_rows} must be at least 1"),
            (self.elm.landmarks < 1, f"elm.landmarks {self.elm.landmarks} must be at least 1"),
            (not self.elm.kernels or not self.elm.functionals, "elm.kernels and elm.functionals must name one"),
        )

    @property
    def options(self) -> ProtocolOptions:
        """Return the 32 options. Raises UserError for an unknown one."""
        return choose_protocol(self.protocol, self.protocol_options)

    @property
    def is_clip_model(self) -> bool:
        """Return whether windows are of frames, and not of five rows a second."""
        return self.model in CLIP_MODELS

    def parts(self, windows: int, world: int) -> int:
        """Return the micro-batches of a batch of `windows`, of all processes; one without `micro_batch`.

        Raises UserError where they cannot be shared by `world` processes.
        """
        size = self.micro_batch or windows
        if windows % size or (windows // size) % world:
            raise UserError(
                f"{world} processes cannot share a batch of {windows} windows in micro-batches of {size}; take --set "
                f"micro_batch=N with N x {world} a divisor of {windows}, or start it without torchrun"
            )
        return windows // size

    @property
    def extractors(self) -> tuple[str, ...]:
        """Return the extractors of all streams, those of sound last."""
        return (*self.visual, *self.audio)

    def frozen(self) -> dict[str, Any]:
        """Return the settings that identify a run."""
        return {name: value for name, value in asdict(self).items() if name not in FREE}


def load_frame_recipe(name: str, overrides: Sequence[str] = ()) -> FrameRecipe:
    """Return the recipe of that name in training/recipes/frames, or at that path, with `overrides` applied.

    Raises UserError.
    """
    recipe = recipe_settings(name, FRAME_RECIPES, overrides).bind(FrameRecipe)
    _ = recipe.options  # an unknown option is refused now
    return recipe


def frame_recipe_from_frozen(frozen: Mapping[str, Any]) -> FrameRecipe:
    """Return the recipe of a run from its frozen values; free settings have their defaults."""
    return bind(FrameRecipe, {**frozen, "elm": dict(frozen["elm"])})
