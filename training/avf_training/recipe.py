"""Recipes of pre-training: YAML over frozen dataclasses, each value with its source in training/recipes/."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from avf_shards.errors import UserError
from avf_shards.mix import Mix
from avf_shards.settings import bind, merge, override, read_table, unknown_key

from avf_training.masking import MaskConfig
from avf_training.models.presets import PRESETS
from avf_training.optim import OptimConfig
from avf_training.precision import Precision

FOLDER = Path(__file__).parents[1] / "recipes"


@dataclass(frozen=True)
class CheckpointConfig:
    """every: steps between two. keep: how many stay, the newest."""

    every: int
    keep: int

    def __post_init__(self) -> None:
        if self.every < 1 or self.keep < 1:
            raise ValueError("every and keep must be at least 1")


@dataclass(frozen=True)
class PretrainRecipe:
    """model: a preset. batch: clips of a step of all processes. micro_batch: clips of one process at once, the rest is
    accumulated. epochs: passes over the mix; steps: given, the run's length instead.
    """

    model: str
    batch: int
    micro_batch: int
    epochs: float
    optim: OptimConfig
    masks: MaskConfig
    precision: Precision
    checkpoint: CheckpointConfig
    mix: Mix = field(default_factory=Mix)
    steps: int | None = None
    warmup_steps: int | None = None
    seed: int = 0
    workers: int = 4
    max_fault_share: float = 0.01
    official_windows: bool = False
    frame_difference: bool = True
    activation_checkpointing: bool = False
    compile: bool = False
    log_every: int = 10
    nonfinite_limit: int = 20
    threads: int | None = None

    def __post_init__(self) -> None:
        if self.model not in PRESETS:
            told = unknown_key("model", self.model, list(PRESETS))
            raise ValueError(told.replace("unknown setting", f"no model {self.model!r}"))
        for name in ("batch", "micro_batch", "log_every", "nonfinite_limit"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} {getattr(self, name)} must be at least 1")
        if self.micro_batch < 2:
            raise ValueError("micro_batch 1 has no negatives for the contrastive loss; take at least 2")
        if self.steps is not None and self.steps < 1:
            raise ValueError(f"steps {self.steps} must be at least 1")
        if self.epochs <= 0 or self.workers < 0:
            raise ValueError("epochs must be above 0, workers at least 0")

    def accumulation(self, world: int) -> int:
        """Micro-batches of one step of each of `world` processes. Raises UserError when they do not fill the batch."""
        rest = self.batch % (world * self.micro_batch)
        if rest or self.batch < world * self.micro_batch:
            raise UserError(
                f"a batch of {self.batch} is no multiple of {world} processes x micro_batch {self.micro_batch}; "
                f"set micro_batch to a divisor of {self.batch / world:g}"
            )
        return self.batch // (world * self.micro_batch)


def load_recipe(name: str, overrides: Sequence[str] = ()) -> PretrainRecipe:
    """The recipe of that name in training/recipes, or at that path, then `overrides` ("key=value").

    Raises UserError.
    """
    known = {path.stem: path for path in sorted(FOLDER.glob("*.yaml"))}
    path = known.get(name) or Path(name)
    if not path.is_file():
        raise UserError(f"--recipe {name}: no such file, and none of {', '.join(known)}")
    values = _read(path)
    for text in overrides:
        values = merge(values, override(text, yaml.safe_load, yaml.YAMLError, "steps=30"))
    return bind(PretrainRecipe, values)


def _read(path: Path) -> Mapping[str, Any]:
    values = read_table(path, yaml.safe_load, yaml.YAMLError)
    based_on = values.pop("based_on", None)
    if based_on is None:
        return values
    base = FOLDER / f"{Path(str(based_on)).name}.yaml"
    if not base.is_file():
        raise UserError(f"{path}: based_on {based_on!r} is no recipe of ours")
    return merge(_read(base), values)
