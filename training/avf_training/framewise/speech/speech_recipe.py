"""Recipes of acoustic models: YAML over one frozen dataclass. Without torch."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from avf_shards.settings.config import bind, refuse

from avf_training.config.pretrain import FOLDER, recipe_settings
from avf_training.config.run_settings import describe_run_faults
from avf_training.framewise.protocol import ProtocolName, ProtocolOptions, choose_protocol

SpeechVersion = Literal["V1", "V2", "V3"]
SPEECH_RECIPES = FOLDER / "speech"
FREE = ("threads", "log_every", "checkpoint_keep", "wandb")
"""Settings that may change between two starts of a run, because they do not change its result."""
_TRAINED_LAYERS: dict[SpeechVersion, int] = {"V1": 2, "V2": 2, "V3": 4}


@dataclass(frozen=True, kw_only=True)
class SpeechRecipe:
    """Settings of an acoustic model on a speech encoder."""

    version: SpeechVersion  # V1 has recurrent units behind the encoder, V2 and V3 two layers of attention
    task: Literal["va", "expr", "both"]  # labels that are learned; both from windows that have both
    protocol: ProtocolName = "ours"  # what is done where papers and released code contradict each other
    protocol_options: Mapping[str, Any] = field(default_factory=dict)  # single ones of the 32 that differ from it
    trained_layers: int | None = None  # last layers of the encoder that learn too; None: 2, of V3 4; 0: all are frozen
    augment: bool = True  # each window: the other sign, noise, or less loudness, one of the three
    label_smoothing: float = 0.2  # of expressions alone
    batch: int = 16  # windows of a step
    epochs: int = 100  # passes over the training windows
    steps: int | None = None  # length of the run in place of `epochs`
    evaluate_every: int = 1  # epochs between two evaluations
    patience: int | None = None  # evaluations without a better score after which the run ends; None: it takes all steps
    rate: float | None = None  # learning rate of Adam, constant; None: that of the protocol
    clip_norm: float | None = None  # largest norm of the gradient; None does not clip
    missing: Literal["refuse", "skip"] = "refuse"  # a labelled video without sound or without a voice track
    seed: int = 0  # of new weights, order, augmentation and dropout
    threads: int | None = None  # CPU threads; None leaves it to torch
    checkpoint_keep: int = 1  # how many of the newest checkpoints stay
    log_every: int = 50  # steps between two throughput reports
    nonfinite_limit: int = 20  # consecutive steps without a finite loss after which the run stops
    wandb: str | None = None  # project of Weights & Biases that is logged to as well

    def __post_init__(self) -> None:
        counts = ("batch", "epochs", "evaluate_every", "checkpoint_keep", "log_every")
        options = ("steps", "patience")
        refuse(
            *((getattr(self, name) < 1, f"{name} {getattr(self, name)} must be at least 1") for name in counts),
            *(
                (value is not None and value < 1, f"{name} {value} must be at least 1, or null")
                for name, value in ((name, getattr(self, name)) for name in options)
            ),
            *describe_run_faults(self),
            (self.batch < 2, f"batch {self.batch} must be at least 2: batch norm needs it"),
            (self.rate is not None and self.rate <= 0, f"rate {self.rate} must be above 0, or null"),
            (not 0 <= self.label_smoothing < 1, f"label_smoothing {self.label_smoothing} must lie between 0 and 1"),
            (
                self.trained_layers is not None and self.trained_layers < 0,
                f"trained_layers {self.trained_layers} must not be below 0",
            ),
        )

    @property
    def options(self) -> ProtocolOptions:
        """Return the 32 options. Raises UserError for an unknown one."""
        return choose_protocol(self.protocol, self.protocol_options)

    @property
    def open_layers(self) -> int:
        """Return how many of the encoder's last layers learn."""
        return _TRAINED_LAYERS[self.version] if self.trained_layers is None else self.trained_layers

    @property
    def label_tasks(self) -> tuple[str, ...]:
        """Return the tasks whose label tracks are read."""
        return ("va", "expr") if self.task == "both" else (self.task,)

    def frozen(self) -> dict[str, Any]:
        """Return the settings that identify a run."""
        return {name: value for name, value in asdict(self).items() if name not in FREE}


def load_speech_recipe(name: str, overrides: Sequence[str] = ()) -> SpeechRecipe:
    """Return the recipe of that name in training/recipes/speech, or at that path, with `overrides` applied.

    Raises UserError.
    """
    recipe = recipe_settings(name, SPEECH_RECIPES, overrides).bind(SpeechRecipe)
    _ = recipe.options  # an unknown option is refused now
    return recipe


def speech_recipe_from_frozen(frozen: Mapping[str, Any]) -> SpeechRecipe:
    """Return the recipe of a run from its frozen values; free settings have their defaults."""
    return bind(SpeechRecipe, dict(frozen))
