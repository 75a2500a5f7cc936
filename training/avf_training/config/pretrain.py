"""Recipes of pre-training: YAML over frozen dataclasses, each value with its source in training/recipes/."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from avf_shards.errors import UserError
from avf_shards.sampling.mixture import Mixture
from avf_shards.settings.config import bind, describe_unknown_key, merge, refuse
from avf_shards.settings.yaml_settings import YamlSettings, read_settings
from avf_shards.text import shell_word

from avf_training.config.run_settings import describe_run_faults
from avf_training.distributed.environment import Parallel
from avf_training.models.config import Modalities, ModelConfig, Negatives, Precision, TargetConfig
from avf_training.models.mask_sampling import MaskConfig
from avf_training.models.presets import PRESETS, preset
from avf_training.trainer.optim_config import OptimConfig
from avf_training.trainer.run_folder import RUN, read_identity

# Settings that may change between two starts of a run, because they do not change its result.
FREE = (
    *("workers", "threads", "log_every", "checkpoint_every", "checkpoint_keep", "eval_every", "wandb"),
    *("parallel", "activation_checkpointing", "compile"),
)
FOLDER = Path(__file__).parent.parent / "recipes"


@dataclass(frozen=True, kw_only=True)
class ContrastiveConfig:
    """Hierarchical cross-modal contrastive learning (HCMCL) in the loss."""

    weight: float  # of the sum over the levels
    temperature: float  # divides the cosine similarities
    negatives: Negatives = "local"  # other clips of the same rank, as the authors' code; `all_ranks`: of all ranks
    # Clips that follow each other and are each other's negatives; None: a micro-batch, or those of all ranks.
    clips: int | None = None

    def __post_init__(self) -> None:
        refuse(
            (self.weight < 0, f"weight {self.weight} must not be below 0"),
            (
                self.clips is not None and self.clips < 2,
                f"clips {self.clips} must be at least 2; the others are negatives",
            ),
            (self.temperature <= 0, f"temperature {self.temperature} must be above 0"),
        )


@dataclass(frozen=True, kw_only=True)
class PretrainRecipe:
    """Settings of a pre-training run."""

    model: str  # name of a preset
    batch: int  # clips of one step of all ranks
    micro_batch: int  # clips of one rank at once; gradients are accumulated up to the batch
    epochs: float  # passes over the mixture
    optim: OptimConfig  # AdamW and its schedule
    masks: MaskConfig  # shares of tokens that are masked and reconstructed
    contrastive: ContrastiveConfig  # HCMCL's part of the loss
    precision: Precision  # number types of the forward pass
    checkpoint_every: int  # steps between two checkpoints
    checkpoint_keep: int  # how many of the newest checkpoints stay
    modalities: Modalities = "av"  # that are masked and reconstructed: av, a (audio) or v (video)
    mix: Mixture = field(default_factory=Mixture)  # weights or quotas of the sources
    steps: int | None = None  # length of the run in place of `epochs`
    warmup_steps: int | None = None  # in place of `optim.warmup_epochs`
    seed: int = 0  # of the weights, the stream order and every sampled parameter
    workers: int = 4  # data workers of each rank
    max_fault_share: float = 0.01  # share of unreadable clips above which the run stops
    any_start_frame: bool = False  # windows start at any frame, as in the authors' code
    targets: TargetConfig = field(default_factory=TargetConfig)  # what the decoders reconstruct
    activation_checkpointing: bool = False  # recompute activations in the backward pass, to save memory
    compile: bool = False  # torch.compile
    parallel: Parallel = "ddp"  # ddp copies the model to each rank, fsdp (FSDP2) shards every block
    log_every: int = 10  # steps between two throughput reports
    eval_every: int = 1000  # steps between two evaluations with a figure of reconstructions; 0: never
    wandb: str | None = None  # project of Weights & Biases that is logged to as well
    nonfinite_limit: int = 20  # consecutive steps without a finite loss after which the run stops
    # Clips that follow each other and that batch norm normalizes together; None: those of a micro-batch.
    batch_norm_clips: int | None = None
    threads: int | None = None  # CPU threads of each rank; None leaves it to torch
    variant: Mapping[str, Any] = field(default_factory=dict)  # fields of the preset that an ablation changes

    def __post_init__(self) -> None:
        unknown = describe_unknown_key("model", self.model, list(PRESETS), f"model {self.model!r}")
        counts = ("batch", "micro_batch", "log_every", "checkpoint_every", "checkpoint_keep")
        untried = self.compile and self.parallel == "fsdp"
        refuse(
            (self.model not in PRESETS, unknown),
            *((getattr(self, name) < 1, f"{name} {getattr(self, name)} must be at least 1") for name in counts),
            (
                self.micro_batch == 1 and self.modalities == "av",
                "micro_batch 1 has no negatives for the contrastive loss; take at least 2",
            ),
            *describe_batch_norm_faults(self.batch_norm_clips, self.micro_batch),
            (untried, "compile and parallel: fsdp have not been tried together; take one of them"),
            (self.steps is not None and self.steps < 1, f"steps {self.steps} must be at least 1"),
            (self.epochs <= 0, f"epochs {self.epochs:g} must be above 0"),
            *describe_run_faults(self),
            (self.eval_every < 0, f"eval_every {self.eval_every} must be at least 0"),
        )

    def frozen(self) -> dict[str, Any]:
        """Return the settings that identify a run and may not change between two starts of it."""
        values = resolve_recipe(asdict(self), FREE)
        if self.modalities == "av":  # so a run of a version that knew no other goes on
            del values["modalities"]
        return values

    def model_config(self) -> ModelConfig:
        """Return the preset with this recipe's modalities, variant, loss weights and targets."""
        loss = self.contrastive
        model = apply_variant(preset(self.model, self.modalities), self.variant)
        return replace(model, contrastive_weight=loss.weight, temperature=loss.temperature, targets=self.targets)

    def accumulation(self, world: int) -> int:
        """Return the micro-batches of a step of each rank. Raises UserError if they do not fill the batch."""
        return accumulation(self.batch, self.micro_batch, world)


def accumulation(batch: int, micro_batch: int, world: int) -> int:
    """Return the micro-batches of a step of each of `world` ranks. Raises UserError if they do not fill the batch."""
    if batch % (world * micro_batch):
        raise UserError(
            f"a batch of {batch} is no multiple of {world} processes x micro_batch {micro_batch}; "
            + _describe_fitting(batch, micro_batch, world)
        )
    return batch // (world * micro_batch)


def _describe_fitting(batch: int, micro_batch: int, world: int) -> str:
    """Return what to take in place of a world that does not fit: the nearest worlds, and micro-batches for this one."""
    most = batch // micro_batch  # processes
    worlds = [number for number in range(1, most + 1) if batch % (number * micro_batch) == 0]
    share = batch // world if batch % world == 0 else 0
    advice = []
    if worlds:
        nearest = {max((n for n in worlds if n < world), default=worlds[0])}
        nearest |= {min((n for n in worlds if n > world), default=worlds[-1])}
        advice.append(f"with this micro_batch {' or '.join(map(str, sorted(nearest)))} processes do")
    if fitting := [number for number in range(2, share + 1) if share % number == 0]:
        advice.append(f"with {world} processes a micro_batch of {', '.join(map(str, fitting))} does")
    return "; ".join(advice) or f"set micro_batch to a divisor of {batch}"


def most_devices(accumulation: Callable[[int], int], available: int) -> int:
    """Return the most of `available` devices that a recipe's batch can be split over; 1 where it can over none.

    Args:
        accumulation: that of the recipe.
    """
    for count in range(available, 1, -1):
        with suppress(UserError):
            accumulation(count)
            return count
    return 1


def refuse_idle_probe(eval_every: int, steps: int) -> None:
    """Raise UserError where a run ends before the first step that a probe scores."""
    if eval_every > steps:
        raise UserError(
            f"--probe scores every {eval_every} steps (eval_every), and this run has {steps}, so it would never run; "
            f"--set eval_every={max(1, steps // 2)}"
        )


def describe_batch_norm_faults(clips: int | None, micro_batch: int) -> tuple[tuple[bool, str], ...]:
    """Return what is wrong with `batch_norm_clips`, as `refuse` takes it."""
    fits = clips is None or (clips >= 2 and micro_batch % clips == 0)
    return ((not fits, f"batch_norm_clips {clips} must be at least 2 and divide the micro_batch of {micro_batch}"),)


def resolve_recipe(values: Mapping[str, Any], free: Sequence[str]) -> dict[str, Any]:
    """Return a recipe's values without the free ones, and without those that change nothing.

    So a run of a version that did not know `batch_norm_clips` goes on.
    """
    optional = ("variant", "batch_norm_clips")
    resolved = {key: value for key, value in values.items() if key not in free and (key not in optional or value)}
    if isinstance(contrastive := values.get("contrastive"), Mapping) and not contrastive.get("clips"):
        resolved["contrastive"] = {key: value for key, value in contrastive.items() if key != "clips"}
    if isinstance(mix := values.get("mix"), Mapping) and mix.get("share") == 1:
        resolved["mix"] = {key: value for key, value in mix.items() if key != "share"}
    if isinstance(augment := values.get("augment"), Mapping) and not augment.get("colour_jitter"):
        resolved["augment"] = {key: value for key, value in augment.items() if key != "colour_jitter"}
    return resolved


def apply_variant(model: ModelConfig, variant: Mapping[str, Any]) -> ModelConfig:
    """Return a preset with some fields changed, for ablations. Raises UserError for an unknown field."""
    return bind(ModelConfig, merge(asdict(model), variant), "variant") if variant else model


def load_recipe(name: str, overrides: Sequence[str] = ()) -> PretrainRecipe:
    """Return the recipe of that name in training/recipes, or at that path, with `overrides` ("key=value") applied.

    Raises UserError.
    """
    return recipe_settings(name, FOLDER, overrides).bind(PretrainRecipe)


def recipe_settings(name: str, folder: Path, overrides: Sequence[str] = ()) -> YamlSettings:
    """Return the settings of a recipe, by its name in `folder` or by its path, on top of those of the recipe
    that it is based on, with the overrides applied. Raises UserError.
    """
    known = {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    path = known.get(name) or Path(name)
    if not path.is_file():
        raise UserError(f"--recipe {name}: no such file, and none of {', '.join(known)}")
    settings = _read(path, folder)
    for text in overrides:
        settings = settings.override(text, "steps=30")
    return settings


def recipe_from_frozen(frozen: Mapping[str, Any]) -> PretrainRecipe:
    """Return the recipe of a run from its frozen values; free settings have their defaults."""
    return bind(PretrainRecipe, {**frozen, "checkpoint_every": 1, "checkpoint_keep": 1})


def recipe_of_run(run: Path, commands: str = "`avf-train pretrain`") -> PretrainRecipe:
    """Return the recipe that the run in a folder was started with. Raises UserError when the folder holds no run.

    commands: whose runs the caller takes, as the message for another one names them.
    """
    if not (run / RUN).is_file():
        raise UserError(f"{run}: holds no run (no {RUN}); `avf-train pretrain --out {shell_word(run)}` makes one")
    identity = read_identity(run)
    if "stage" in identity:
        raise UserError(f"{run}: a run of `avf-train {identity['stage']}`; name a run of {commands}")
    if "stream" not in identity:
        raise UserError(f"{run}: a run of post-pre-training or fine-tuning; name a run of {commands}")
    return recipe_from_frozen(identity["recipe"])


def _read(path: Path, folder: Path) -> YamlSettings:
    settings = read_settings(path, path.name if path.is_relative_to(FOLDER) else None)
    if settings.values.get("based_on") is None:
        return settings
    based_on = settings.values["based_on"]
    values = {name: value for name, value in settings.values.items() if name != "based_on"}
    base = folder / f"{Path(str(based_on)).name}.yaml"
    if not base.is_file():
        position = settings.positions["based_on"]
        raise UserError(f"{position}: based_on {based_on!r} names no recipe in training/recipes")
    return _read(base, folder).merge(replace(settings, values=values))
